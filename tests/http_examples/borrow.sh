#!/bin/sh
# Borrows a floating license with curl, as the API's documentation does; only Date and Authorization are added.
set -eu

date=$(LC_ALL=C date -u '+%a, %d %b %Y %H:%M:%S GMT')
signature=$(printf 'licenseSpring\ndate: %s' "$date" |
    openssl dgst -sha256 -hmac "$FLOATLEASE_SHARED_KEY" -binary | openssl base64 -A)
authorization="algorithm=\"hmac-sha256\", headers=\"date\", signature=\"$signature\", apikey=\"$FLOATLEASE_API_KEY\""

curl --silent --show-error --fail-with-body \
    --location --request POST "$FLOATLEASE_BASE_URL/floating/borrow" \
    --header 'Accept: application/json' \
    --header 'Content-Type: application/json' \
    --header "Date: $date" \
    --header "Authorization: $authorization" \
    --data-raw '{
  "hardware_id": "'"$FLOATLEASE_HARDWARE_ID"'",
  "product": "'"$FLOATLEASE_PRODUCT"'",
  "license_key": "'"$FLOATLEASE_LICENSE_KEY"'",
  "borrowed_until": null
}'
