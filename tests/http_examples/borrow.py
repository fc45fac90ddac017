"""Borrows a floating license with requests, as the API's documentation does; only Date and Authorization are added."""

import base64
import hashlib
import hmac
import os
import sys
from email.utils import formatdate

import requests

url = os.environ["FLOATLEASE_BASE_URL"] + "/floating/borrow"
date = formatdate(usegmt=True)
mac = hmac.new(os.environ["FLOATLEASE_SHARED_KEY"].encode(), f"licenseSpring\ndate: {date}".encode(), hashlib.sha256)
signature = base64.b64encode(mac.digest()).decode()
api_key = os.environ["FLOATLEASE_API_KEY"]

payload = {
    "hardware_id": os.environ["FLOATLEASE_HARDWARE_ID"],
    "product": os.environ["FLOATLEASE_PRODUCT"],
    "license_key": os.environ["FLOATLEASE_LICENSE_KEY"],
    "borrowed_until": None,
}

headers = {
    "Accept": "application/json",
    "Content-Type": "application/json",
    "Date": date,
    "Authorization": f'algorithm="hmac-sha256", headers="date", signature="{signature}", apikey="{api_key}"',
}

response = requests.post(url, json=payload, headers=headers)
print(response.text)
sys.exit(response.status_code != 200)
