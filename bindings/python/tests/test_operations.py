from __future__ import annotations

import pytest
from conftest import Workplace
from floatlease import DeviceError, LicenseError, ProductError, Status, UsageError


def test_versions_and_files_of_a_product_are_found(workplace: Workplace) -> None:
    client = workplace.client
    product = client.product_details(include_latest_version=True, channel="beta")
    assert product["allow_trial"] is True
    latest = product.get("latest_version")
    assert latest is not None
    assert latest["version"] == "1.1.0"
    assert [version["version"] for version in client.versions(env="win64")["items"]] == ["1.0.0", "0.9.0"]
    file = client.installation_file(env="win64")
    assert file["installation_file"] == "https://example.com/cad-pro-1.0.0.exe"
    assert file["size"] == 48_000_000


def test_a_device_gets_one_trial_and_activates_it(workplace: Workplace) -> None:
    client = workplace.client
    first, again = client.trial_key(email="ada@example.com"), client.trial_key()
    assert first.get("trial_days") == 30
    assert again.get("trial_days") is None
    key = first.get("license", "")
    assert again.get("license") == key
    assert client.activate_license(license_key=key)["is_trial"] is True
    keys = [one["license_key"] for one in client.device_licenses()["items"]]
    assert sorted(keys, key=str) == sorted([key, workplace.config["license_key"]])


def test_values_of_a_device_are_kept_as_texts(workplace: Workplace) -> None:
    client = workplace.client
    (tracked,) = client.track_device_variables(variables={"room": 12})["items"]
    (kept,) = client.get_device_variables()["items"]
    assert (tracked["variable"], tracked["value"]) == ("room", "12")
    assert (kept["variable"], kept["value"]) == ("room", "12")
    assert kept["device_id"] == tracked["device_id"]
    with pytest.raises(UsageError) as missing:
        client.track_device_variables()
    assert missing.value.status == Status.MISSING_KEY


def test_a_bundle_is_activated_checked_and_deactivated(workplace: Workplace) -> None:
    client = workplace.client
    (activated,) = client.activate_bundle(product="SUITE")["items"]
    assert activated["license_key"] == workplace.config["license_key"]
    (checked,) = client.check_bundle(product="SUITE")["items"]
    assert checked.get("floating_in_use_devices") == 1
    assert client.deactivate_bundle(product="SUITE")["message"] == "license_deactivated"
    with pytest.raises(DeviceError):
        client.check_license()
    with pytest.raises(ProductError):
        client.activate_bundle(product="NONE")


def test_a_user_finds_licenses_and_changes_the_password(workplace: Workplace) -> None:
    client = workplace.client
    (owned,) = client.user_licenses(product="STUDIO", username="ada@example.com", password="correct-horse")["items"]
    assert owned["license"]["id"] == 7001
    assert owned["user"]["is_initial_password"] is True
    place = client.sso_url(product="STUDIO", customer_account_code="EXAMPLE", response_type="token")
    assert "response_type=token" in place["url"]
    assert place["openid_configuration"]["issuer"].startswith("https://id.example.com/")

    changed = client.change_password(username="ada@example.com", password="correct-horse", new_password="better-horse")
    assert changed["message"] == "password_changed"
    with pytest.raises(LicenseError):
        client.user_licenses(product="STUDIO", username="ada@example.com", password="correct-horse")
    (again,) = client.user_licenses(product="STUDIO", username="ada@example.com", password="better-horse")["items"]
    assert again["user"]["is_initial_password"] is False
