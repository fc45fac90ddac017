// The methods of a client that perform an operation, by its name.
#ifndef VERBS_HPP
#define VERBS_HPP

#include <floatlease.hpp>

#include <string_view>

struct Verb {
    std::string_view name;
    floatlease::Result (floatlease::Client::*perform)(const floatlease::Text &) const;
};

static constexpr Verb verbs[] = {
    {"activate_license", &floatlease::Client::activate_license},
    {"check_license", &floatlease::Client::check_license},
    {"deactivate_license", &floatlease::Client::deactivate_license},
    {"borrow_license", &floatlease::Client::borrow_license},
    {"release_license", &floatlease::Client::release_license},
    {"check_feature", &floatlease::Client::check_feature},
    {"borrow_feature", &floatlease::Client::borrow_feature},
    {"release_feature", &floatlease::Client::release_feature},
    {"add_consumption", &floatlease::Client::add_consumption},
    {"add_feature_consumption", &floatlease::Client::add_feature_consumption},
    {"product_details", &floatlease::Client::product_details},
    {"trial_key", &floatlease::Client::trial_key},
    {"versions", &floatlease::Client::versions},
    {"installation_file", &floatlease::Client::installation_file},
    {"device_licenses", &floatlease::Client::device_licenses},
    {"get_device_variables", &floatlease::Client::get_device_variables},
    {"track_device_variables", &floatlease::Client::track_device_variables},
    {"change_password", &floatlease::Client::change_password},
    {"user_licenses", &floatlease::Client::user_licenses},
    {"sso_url", &floatlease::Client::sso_url},
    {"activate_bundle", &floatlease::Client::activate_bundle},
    {"check_bundle", &floatlease::Client::check_bundle},
    {"deactivate_bundle", &floatlease::Client::deactivate_bundle},
    {"sync_consumptions", &floatlease::Client::sync_consumptions},
};

#endif
