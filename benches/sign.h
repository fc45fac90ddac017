/* The two headers that authorise a request, by OpenSSL: what a user without floatlease would write. */

#ifndef FLOATLEASE_BENCH_SIGN_H
#define FLOATLEASE_BENCH_SIGN_H

#include "measure.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

struct authorisation {
    char date[40];
    char authorization[256];
};

static inline struct authorisation authorise(const char *api_key, const char *shared_key)
{
    struct authorisation headers;
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(headers.date, sizeof headers.date, "%a, %d %b %Y %H:%M:%S GMT", &utc);

    char text[80];
    int length = snprintf(text, sizeof text, "licenseSpring\ndate: %s", headers.date);
    unsigned char mac[EVP_MAX_MD_SIZE], signature[64];
    unsigned mac_length;
    HMAC(EVP_sha256(), shared_key, (int)strlen(shared_key), (unsigned char *)text, (size_t)length, mac, &mac_length);
    EVP_EncodeBlock(signature, mac, (int)mac_length);
    snprintf(headers.authorization, sizeof headers.authorization,
             "algorithm=\"hmac-sha256\", headers=\"date\", signature=\"%s\", apikey=\"%s\"", signature, api_key);
    return headers;
}

#endif
