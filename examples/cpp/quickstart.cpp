// floatlease quick start in C++17: take, borrow and give back a floating license and a floating feature, count
// consumption, and see what happens when every slot is taken.
//
//     c++ -std=c++17 quickstart.cpp -lfloatlease -o quickstart     builds it against an installed library
//     floatlease-server exec -- ./quickstart                       runs it against a fresh server
//
// FLOATLEASE_CONFIG holds the client's configuration as one JSON object; a product would have its own in the code:
//
//     {"product":"XY", "license_key":"AAAA-BBBB-CCCC-DDDD", "api_key":"...", "shared_key":"..."}
#include <floatlease.hpp>

#include <cstdlib>
#include <initializer_list>
#include <iomanip>
#include <iostream>
#include <string>
#include <string_view>

using floatlease::json_string, floatlease::Result;
using namespace std::string_view_literals;

namespace {

/// Prints the result of a step, with some members of the reply.
bool step(std::string_view who, std::string_view verb, const Result &result,
          std::initializer_list<std::string_view> shown = {})
{
    std::cout << "  " << std::left << std::setw(13) << who << ' ' << std::setw(24) << verb;
    if (result) {
        std::cout << " ok";
        for (const std::string_view member : shown)
            std::cout << "  " << member << '=' << result.text(member);
        std::cout << '\n';
    } else {
        std::cout << " refused: " << result.name() << "\n      what happened: " << result.text("message")
                  << "\n      what to do:    " << result.text("advice") << '\n';
    }
    return result.ok();
}

std::string environment(const char *name)
{
    const char *value = std::getenv(name);

    if (!value) {
        std::cerr << name << " is not set; run this by: floatlease-server exec -- ./quickstart\n";
        std::exit(2);
    }
    return value;
}

} // namespace

int main()
{
    if (!floatlease::compatible()) {
        std::cerr << "libfloatlease is of another ABI than floatlease.h\n";
        return 2;
    }
    floatlease::Client client;

    if (const Result opened = client.open(environment("FLOATLEASE_CONFIG")); !opened) {
        std::cerr << opened.text("message") << ' ' << opened.text("advice") << '\n';
        return 1;
    }
    std::cout << "floatlease " << floatlease::version() << '\n';

    // json_string() makes any text safe to put into a request.
    const std::string feature = "{\"feature\":" + json_string(environment("FLOATLEASE_FEATURE")) + "}";
    const std::string counter =
        "{\"feature\":" + json_string(environment("FLOATLEASE_CONSUMPTION_FEATURE")) + ",\"consumptions\":5}";
    const std::string key = "{\"license_key\":" + json_string(environment("FLOATLEASE_CONSUMPTION_LICENSE_KEY"));

    const auto me = "this machine"sv;
    const auto slots = {"floating_in_use_devices"sv, "floating_users"sv};
    const auto borrow = {"borrowed_until"sv, "floating_in_use_devices"sv};
    const auto total = {"total_consumptions"sv, "max_consumptions"sv};
    bool well = true;

    std::cout << "\nA slot of the license, borrowed for a trip and given back:\n";
    well &= step(me, "activate_license", client.activate_license(), {"device_id"});
    well &= step(me, "check_license", client.check_license(), slots);
    well &= step(me, "borrow_license", client.borrow_license(), borrow);
    well &= step(me, "release_license", client.release_license());

    std::cout << "\nThe same with a feature of the license:\n";
    well &= step(me, "check_feature", client.check_feature(feature), slots);
    well &= step(me, "borrow_feature", client.borrow_feature(feature), borrow);
    well &= step(me, "release_feature", client.release_feature(feature));

    std::cout << "\nConsumption, on a feature and on a license that counts:\n";
    well &= step(me, "add_feature_consumption", client.add_feature_consumption(counter), total);
    well &= step(me, "activate_license", client.activate_license(key + "}"), {"license_type"});
    well &= step(me, "add_consumption", client.add_consumption(key + ",\"consumptions\":3}"), total);

    std::cout << "\nColleagues take slots until none is left:\n";
    bool is_taken = false;
    for (int number = 1; number <= 100 && !is_taken; ++number) {
        const std::string colleague = "office-" + std::to_string(number);
        const std::string request = "{\"hardware_id\":" + json_string(colleague) + "}";

        well &= step(colleague, "activate_license", client.activate_license(request), {"device_id"});
        const Result taken = client.check_license(request);
        step(colleague, "check_license", taken, slots);
        is_taken = taken.status() == FLOATLEASE_E_FLOATING_NOT_AVAILABLE;
    }
    well &= is_taken;

    std::cout << "\nOne of them goes home, and this machine gets the slot:\n";
    well &= step("office-1", "release_license", client.release_license("{\"hardware_id\":\"office-1\"}"));
    well &= step(me, "check_license", client.check_license(), slots);
    well &= step(me, "deactivate_license", client.deactivate_license(), {"message"});

    std::cout << (well ? "\nDone.\n" : "\nSomething went wrong: see above.\n");
    return well ? 0 : 1;
}
