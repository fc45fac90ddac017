#include <floatlease.h>

#include <stdio.h>

int main(void)
{
    printf("floatlease %s, ABI %u\n", floatlease_version(), (unsigned)floatlease_abi_version());
    return floatlease_abi_version() == FLOATLEASE_ABI_VERSION ? 0 : 1;
}
