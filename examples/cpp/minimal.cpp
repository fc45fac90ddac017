// Opens a client, holds a lease, looks at its state, and gives it back. FLOATLEASE_CONFIG holds the client's config.
#include <floatlease.hpp>
#include <cstdlib>
#include <iostream>

int main()
{
    floatlease::Client client;
    floatlease::Lease lease;
    floatlease::Result result = client.open(std::getenv("FLOATLEASE_CONFIG"));

    if (result)
        result = client.acquire_lease(lease, R"({"activate":true})");
    if (lease.is_licensed())
        std::cout << "licensed for " << lease.remaining().count() / 60000 << " minutes\n";
    if (result)
        result = lease.release();
    std::cout << result.name() << ' ' << result.text("message") << '\n';
    return result ? 0 : 1;
}
