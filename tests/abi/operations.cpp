// The methods of operations that have no C function of their own, as a program uses them: products, devices, bundles and
// users.
#include "expect.hpp"

#include <floatlease_sandbox.hpp>

#include <string>

using floatlease::Client, floatlease::Result, floatlease::Sandbox, floatlease::member, floatlease::text;

// Opens a client on a device; `more` are members of the config, each with a comma behind it.
static Client client_on(const Sandbox &sandbox, const std::string &device, const std::string &more = "")
{
    const Result given = sandbox.client_config("{\"hardware_id\":\"" + device + "\"}");
    Client client;

    EXPECT(given, FLOATLEASE_OK);
    EXPECT(client.open(std::string(given.json()).insert(1, more)), FLOATLEASE_OK);
    return client;
}

// Returns the first item of a reply that is a list.
static std::string_view first(const Result &reply)
{
    EXPECT(reply, FLOATLEASE_OK);
    return reply.member("items").substr(1);
}

static void of_products_and_devices(const Sandbox &sandbox)
{
    const Client client = client_on(sandbox, "desk");

    EXPECT(client.activate_license(), FLOATLEASE_OK);
    HOLD(client.product_details().text("short_code") == "CAD-PRO");
    const Result versions = client.versions(R"({"env":"linux64"})");
    HOLD(text(first(versions), "version") == "1.0.0");
    const Result file = client.installation_file(R"({"channel":"beta"})");
    HOLD(file.text("version") == "1.1.0" && file.text("installation_file").substr(0, 8) == "https://");
    const Result licenses = client.device_licenses();
    HOLD(text(first(licenses), "license_key") == "CADP-FLOA-TING-0002");

    const Result tracked = client.track_device_variables(R"({"variables":{"room":12}})");
    HOLD(text(first(tracked), "value") == "12");
    const Result variables = client.get_device_variables();
    HOLD(text(first(variables), "variable") == "room");
    EXPECT(client.track_device_variables(nullptr), FLOATLEASE_E_MISSING_KEY);

    const Result trial = client.trial_key();
    HOLD(trial.number("trial_days") == 30 && trial.text("license") == trial.text("license_key"));
    HOLD(client.trial_key().text("license") == trial.text("license"));
    const std::string key = R"({"license_key":)" + floatlease::json_string(trial.text("license")) + "}";
    HOLD(client.activate_license(key).text("is_trial") == "true");
}

static void of_bundles(const Sandbox &sandbox)
{
    const Client client = client_on(sandbox, "another-desk", R"("bundle_code":"SUITE",)");

    EXPECT(client.check_bundle(), FLOATLEASE_E_DEVICE_NOT_FOUND);
    const Result activated = client.activate_bundle();
    HOLD(text(first(activated), "request") == "activation");
    const Result checked = client.check_bundle();
    HOLD(text(first(checked), "floating_in_use_devices") == "1");
    HOLD(client.deactivate_bundle().text("message") == "license_deactivated");
    EXPECT(client.activate_bundle(R"({"product":"NONE"})"), FLOATLEASE_E_UNKNOWN_PRODUCT);
}

static void of_users(const Sandbox &sandbox)
{
    const Client client = client_on(sandbox, "desk");
    const std::string ada = R"("product":"STUDIO","username":"ada@example.com","password":)";
    const Result licenses = client.user_licenses("{" + ada + R"("correct-horse"})");

    HOLD(text(member(first(licenses), "user"), "email") == "ada@example.com");
    HOLD(floatlease::number(member(first(licenses), "license"), "id") == 7001);
    const Result place = client.sso_url(R"({"product":"STUDIO","customer_account_code":"EXAMPLE"})");
    HOLD(text(place.member("openid_configuration"), "issuer") == "https://id.example.com/realms/example");
    EXPECT(client.sso_url(nullptr), FLOATLEASE_E_MISSING_KEY);

    const Result changed = client.change_password(
        R"({"username":"ada@example.com","password":"correct-horse","new_password":"better-horse"})");
    HOLD(changed.text("message") == "password_changed");
    EXPECT(client.user_licenses("{" + ada + R"("correct-horse"})"), FLOATLEASE_E_LICENSE_NOT_FOUND);
    EXPECT(client.user_licenses("{" + ada + R"("better-horse"})"), FLOATLEASE_OK);
}

int main()
{
    Sandbox sandbox;

    EXPECT(sandbox.start(R"({"rate":0})"), FLOATLEASE_OK);
    of_products_and_devices(sandbox);
    of_bundles(sandbox);
    of_users(sandbox);
    std::printf("%d checks hold\n", checks);
}
