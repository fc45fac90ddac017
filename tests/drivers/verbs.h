/* The functions of the library that perform an operation, by its name. */
#ifndef VERBS_H
#define VERBS_H

#include <floatlease.h>

static const struct {
    const char *name;
    floatlease_status (*perform)(floatlease_client *, const char *, char **);
} verbs[] = {
    {"activate_license", floatlease_activate_license},
    {"check_license", floatlease_check_license},
    {"deactivate_license", floatlease_deactivate_license},
    {"borrow_license", floatlease_borrow_license},
    {"release_license", floatlease_release_license},
    {"check_feature", floatlease_check_feature},
    {"borrow_feature", floatlease_borrow_feature},
    {"release_feature", floatlease_release_feature},
    {"add_consumption", floatlease_add_consumption},
    {"add_feature_consumption", floatlease_add_feature_consumption},
};

#endif
