#!/bin/sh
# Borrows a floating license with curl and an OAuth access token in place of the API key.
set -eu

url=$(curl --silent --show-error --fail-with-body "$FLOATLEASE_BASE_URL/oauth_url?login_type=client_credentials" |
    sed 's/.*"url":"\([^"]*\)".*/\1/')
token=$(curl --silent --show-error --fail-with-body --request POST "$url" \
    --data-urlencode 'grant_type=client_credentials' \
    --data-urlencode "client_id=$FLOATLEASE_CLIENT_ID" \
    --data-urlencode "client_secret=$FLOATLEASE_CLIENT_SECRET" |
    sed 's/.*"access_token":"\([^"]*\)".*/\1/')

curl --silent --show-error --fail-with-body \
    --request POST "$FLOATLEASE_BASE_URL/floating/borrow" \
    --header 'Accept: application/json' \
    --header 'Content-Type: application/json' \
    --header "Date: $(LC_ALL=C date -u '+%a, %d %b %Y %H:%M:%S GMT')" \
    --header "Authorization: Bearer $token" \
    --data-raw '{
  "hardware_id": "'"$FLOATLEASE_HARDWARE_ID"'",
  "product": "'"$FLOATLEASE_PRODUCT"'",
  "license_key": "'"$FLOATLEASE_LICENSE_KEY"'",
  "borrowed_until": null
}'
