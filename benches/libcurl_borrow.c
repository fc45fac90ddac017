/* A borrow as a C program without floatlease does it: libcurl with a kept handle, the HMAC by OpenSSL. The reply is
   not verified. */

#include "borrow_body.h"
#include "sign.h"

#include <curl/curl.h>

struct buffer {
    size_t length;
    char text[8192];
};

static size_t append(char *data, size_t size, size_t count, void *context)
{
    struct buffer *reply = context;
    size_t length = size * count;
    if (length > sizeof reply->text - reply->length)
        return 0;
    memcpy(reply->text + reply->length, data, length);
    reply->length += length;
    return length;
}

static void borrow(void *context)
{
    CURL *curl = context;
    struct authorisation headers = authorise(setting("FLOATLEASE_API_KEY"), setting("FLOATLEASE_SHARED_KEY"));
    char url[256], date[64], authorization[300], body[512];
    snprintf(url, sizeof url, "%s/floating/borrow", setting("FLOATLEASE_BASE_URL"));
    snprintf(date, sizeof date, "Date: %s", headers.date);
    snprintf(authorization, sizeof authorization, "Authorization: %s", headers.authorization);
    write_borrow_body(body, sizeof body);

    struct curl_slist *list = curl_slist_append(NULL, "Accept: application/json");
    list = curl_slist_append(list, "Content-Type: application/json");
    list = curl_slist_append(list, date);
    list = curl_slist_append(list, authorization);
    struct buffer reply = {0};
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 15000L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, append);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &reply);
    CURLcode result = curl_easy_perform(curl);
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(list);
    if (result != CURLE_OK)
        fail("libcurl", curl_easy_strerror(result));
    if (status != 200)
        fail("refused", reply.text);
}

int main(int argc, char **argv)
{
    CURL *curl = curl_easy_init();
    measure(argc, argv, borrow, curl);
    curl_easy_cleanup(curl);
}
