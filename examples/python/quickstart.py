"""floatlease quick start: take, borrow and give back a floating license and a floating feature, count consumption, and
see what happens when every slot is taken.

    pip install floatlease
    floatlease-server exec -- python quickstart.py     # against a fresh server

FLOATLEASE_CONFIG holds the client's config as one JSON object; a product would have its own in the code:

    Client(product="XY", license_key="AAAA-BBBB-CCCC-DDDD", api_key="...", shared_key="...")
"""

import os
from collections.abc import Mapping
from itertools import count
from typing import Any, Callable, Optional

import floatlease
from floatlease import Client, FloatLeaseError, Status

Reply = Mapping[str, Any]


def step(who: str, verb: Callable[..., Reply], *shown: str, **request: Any) -> Optional[Reply]:
    """Performs one verb, and prints its result."""
    try:
        reply = verb(**request)
        told = "  ".join(["ok", *(f"{name}={reply[name]}" for name in shown)])
    except FloatLeaseError as error:
        told = f"refused: {error.name}\n      what happened: {error.message}\n      what to do:    {error.advice}"
        if error.status != Status.FLOATING_NOT_AVAILABLE:
            raise
        reply = None
    print(f"  {who:13} {verb.__name__:24} {told}")
    return reply


print(f"floatlease {floatlease.version()}")
me, feature = "this machine", os.environ["FLOATLEASE_FEATURE"]

with Client.from_environment() as client:
    print("\nA slot of the license, borrowed for a trip and given back:")
    step(me, client.activate_license, "device_id")
    step(me, client.check_license, "floating_in_use_devices", "floating_users")
    step(me, client.borrow_license, "borrowed_until", "floating_in_use_devices")
    step(me, client.release_license)

    print("\nThe same with a feature of the license:")
    step(me, client.check_feature, "floating_in_use_devices", "floating_users", feature=feature)
    step(me, client.borrow_feature, "borrowed_until", "floating_in_use_devices", feature=feature)
    step(me, client.release_feature, feature=feature)

    print("\nConsumption, on a feature and on a license that counts:")
    counter, counting = os.environ["FLOATLEASE_CONSUMPTION_FEATURE"], os.environ["FLOATLEASE_CONSUMPTION_LICENSE_KEY"]
    step(me, client.add_feature_consumption, "total_consumptions", feature=counter, consumptions=5)
    step(me, client.activate_license, "license_type", license_key=counting)
    step(me, client.add_consumption, "total_consumptions", license_key=counting, consumptions=3)

    print("\nColleagues take slots until none is left:")
    for colleague in (f"office-{number}" for number in count(1)):
        step(colleague, client.activate_license, "device_id", hardware_id=colleague)
        if not step(colleague, client.check_license, "floating_in_use_devices", hardware_id=colleague):
            break

    print("\nOne of them goes home, and this machine gets the slot. A lease keeps it, and gives it back:")
    step("office-1", client.release_license, hardware_id="office-1")
    with client.acquire_lease() as lease:
        print(f"  {me:13} {lease.state.name}, for {lease.remaining_ms // 60_000} minutes, renewed in time")
    step(me, client.deactivate_license, "message")

print("\nDone.")
