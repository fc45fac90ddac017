"""Opens a client, holds a lease, looks at its state, and gives it back. FLOATLEASE_CONFIG holds the client's config."""

from floatlease import Client

with Client.from_environment() as client, client.acquire_lease(activate=True) as lease:
    if lease.is_licensed:
        print(f"licensed for {lease.remaining_ms // 60_000} minutes")
print("released")
