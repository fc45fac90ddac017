"""A borrow as the API's documentation does it: Python requests, by requests.post or with a Session kept."""

import base64
import email.utils
import hashlib
import hmac
import json
import os
import resource
import sys
import time

import requests

URL = os.environ["FLOATLEASE_BASE_URL"] + "/floating/borrow"
PAYLOAD = {
    "borrowed_until": None,
    "hardware_id": os.environ["FLOATLEASE_HARDWARE_ID"],
    "license_key": os.environ["FLOATLEASE_LICENSE_KEY"],
    "product": os.environ["FLOATLEASE_PRODUCT"],
    "sdk_ver": "floatlease " + os.environ["FLOATLEASE_VERSION"],
}


def headers():
    date = email.utils.formatdate(usegmt=True)
    text = f"licenseSpring\ndate: {date}"
    mac = hmac.new(os.environ["FLOATLEASE_SHARED_KEY"].encode(), text.encode(), hashlib.sha256)
    signature = base64.b64encode(mac.digest()).decode()
    api_key = os.environ["FLOATLEASE_API_KEY"]
    return {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Date": date,
        "Authorization": f'algorithm="hmac-sha256", headers="date", signature="{signature}", apikey="{api_key}"',
    }


def cpu_us():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return (usage.ru_utime + usage.ru_stime) * 1e6


def main(way, count):
    post = {"post": requests.post, "session": requests.Session().post}[way]

    def borrow():
        response = post(URL, json=PAYLOAD, headers=headers())
        response.raise_for_status()
        response.json()

    borrow()
    wall, cpu = time.perf_counter(), cpu_us()
    for _ in range(count):
        borrow()
    wall_us, cpu = (time.perf_counter() - wall) * 1e6, cpu_us() - cpu
    print(json.dumps({"requests": count, "wall_us": wall_us / count, "cpu_us": cpu / count}))


main(sys.argv[1], int(sys.argv[2]))
