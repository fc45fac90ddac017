#!/bin/sh
# One operation of each family of the API with curl; only Date and Authorization are added. Prints the name of each, and the
# server's reply.
set -eu

request() { # METHOD PATH [arguments of curl]
    method=$1 path=$2
    shift 2
    date=$(LC_ALL=C date -u '+%a, %d %b %Y %H:%M:%S GMT')
    signature=$(printf 'licenseSpring\ndate: %s' "$date" |
        openssl dgst -sha256 -hmac "$FLOATLEASE_SHARED_KEY" -binary | openssl base64 -A)
    printf '%s ' "${path#/}"
    curl --silent --show-error --fail-with-body \
        --request "$method" "$FLOATLEASE_BASE_URL$path" \
        --header 'Accept: application/json' \
        --header "Date: $date" \
        --header "Authorization: algorithm=\"hmac-sha256\", headers=\"date\", signature=\"$signature\", apikey=\"$FLOATLEASE_API_KEY\"" \
        "$@"
    echo
}

# The license and the device, and what else is given, as members of a JSON object.
body() {
    printf '{"hardware_id": "%s", "product": "%s", "license_key": "%s"%s}' \
        "$FLOATLEASE_HARDWARE_ID" "$FLOATLEASE_PRODUCT" "$FLOATLEASE_LICENSE_KEY" "${1:+, $1}"
}

post() { # PATH [members]
    request POST "$1" --header 'Content-Type: application/json' --data-raw "$(body "${2:-}")"
}

get() { # PATH [parameters]
    path=$1
    shift
    request GET "$path" --get --data-urlencode "hardware_id=$FLOATLEASE_HARDWARE_ID" \
        --data-urlencode "product=$FLOATLEASE_PRODUCT" --data-urlencode "license_key=$FLOATLEASE_LICENSE_KEY" "$@"
}

get_of_product() { # PATH [parameters]
    path=$1
    shift
    request GET "$path" --get --data-urlencode "product=$FLOATLEASE_PRODUCT" "$@"
}

post /activate_license '"os_ver": "Linux"'
get /check_license
get /check_license_feature --data-urlencode 'feature=MESH'
post /floating/feature_release '"feature": "MESH"'
post /add_feature_consumption '"feature": "RENDER-MINUTES", "consumptions": 3'
post /track_device_variables '"variables": {"site": "Berlin"}'
get /get_device_variables
get_of_product /product_details
get /versions
get_of_product /trial_key --data-urlencode "hardware_id=$FLOATLEASE_HARDWARE_ID"
request GET /device_licenses --get --data-urlencode "hardware_id=$FLOATLEASE_HARDWARE_ID"
post /deactivate_license
