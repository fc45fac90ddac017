"""The types of replies about users: their licenses, and where they sign in. Expect members that are not named here."""

from __future__ import annotations

from typing import Any, Optional, TypedDict


class OwnedLicense(TypedDict):
    """A license apart from any device, as `user_licenses` lists it."""

    id: int
    """The server's number of the license, for `license_id`."""
    license_type: str
    """The type of the license: `"perpetual"`, `"subscription"`, `"time-limited"` or `"consumption"`."""
    license_active: bool
    """True if the license is active. The vendor activates it."""
    license_enabled: bool
    """True if the license is enabled. The vendor can disable it."""
    is_trial: bool
    """True if the license is a trial."""
    is_expired: bool
    """True if the license has expired."""
    is_floating_cloud: bool
    """True if the server counts slots: `acquire_lease` takes one."""
    start_date: Optional[str]
    """The date at which the license begins; None if it names none."""
    validity_period: Optional[str]
    """The date at which the license expires; None if it never does."""
    maintenance_period: Optional[str]
    """The date at which the maintenance of the license ends; None if it never does."""
    max_activations: int
    """The number of devices that may activate the license."""
    allow_unlimited_activations: bool
    """True if any number of devices may activate the license."""
    times_activated: int
    """The number of devices that have activated the license."""


class LicenseUser(TypedDict):
    """A user of a license."""

    id: int
    """The server's number of the user."""
    email: str
    """The e-mail address, which is the user's name."""
    first_name: str
    """The first name."""
    last_name: str
    """The last name."""
    phone_number: str
    """The phone number."""
    is_initial_password: bool
    """True until the user changes the password that an administrator gave."""
    max_activations: int
    """The number of devices on which the user may activate licenses."""
    allow_unlimited_activations: bool
    """True if the user may activate licenses on any number of devices."""
    total_activations: int
    """The number of devices on which the user has activated licenses."""


class UserLicense(TypedDict):
    """A license that a user may use."""

    license: OwnedLicense
    """The license, apart from any device."""
    user: LicenseUser
    """The user."""


class UserLicensesReply(TypedDict):
    """The licenses of a product that a user may use: the reply of `user_licenses`."""

    items: list[UserLicense]
    """The licenses, the newest first, each with the user."""


class OpenidConfiguration(TypedDict):
    """The addresses of a customer account's identity provider."""

    issuer: str
    """The name of the provider in the tokens that it issues."""
    token_endpoint: str
    """The address that exchanges a code for a token."""
    end_session_endpoint: str
    """The address that signs a user out."""
    introspection_endpoint: str
    """The address that tells whether a token counts."""


class SsoUrlReply(TypedDict):
    """The place where a user signs in by single sign-on: the reply of `sso_url`."""

    url: str
    """The address to open in a browser."""
    openid_configuration: OpenidConfiguration
    """The addresses of the identity provider."""
    alternate_urls: list[dict[str, Any]]
    """One sign-in for each address that the browser may come back to, with `url` and `redirect_uri`."""
