/* The body that floatlease sends for a borrow, so that all contenders send the same. */

#ifndef FLOATLEASE_BENCH_BORROW_BODY_H
#define FLOATLEASE_BENCH_BORROW_BODY_H

#include "measure.h"

static inline int write_borrow_body(char *body, size_t size)
{
    return snprintf(body, size,
                    "{\"borrowed_until\":null,\"hardware_id\":\"%s\",\"license_key\":\"%s\",\"product\":\"%s\","
                    "\"sdk_ver\":\"floatlease %s\"}",
                    setting("FLOATLEASE_HARDWARE_ID"), setting("FLOATLEASE_LICENSE_KEY"),
                    setting("FLOATLEASE_PRODUCT"), setting("FLOATLEASE_VERSION"));
}

#endif
