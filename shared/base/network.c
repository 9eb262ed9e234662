/*
 * base/network: see the header.
 */
#include "base/network.h"

#include <arpa/inet.h>
#include <string.h>

static void write_name(int family, unsigned char *bytes, size_t size, unsigned prefix,
                       char out[NETWORK_NAME_SIZE])
{
    memset(bytes + prefix / 8, 0, size - prefix / 8);
    (void)inet_ntop(family, bytes, out, NETWORK_NAME_SIZE);
}

void network_name(const char *address, unsigned v4_prefix, unsigned v6_prefix,
                  char out[NETWORK_NAME_SIZE])
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, address, &v4) == 1) {
        write_name(AF_INET, (unsigned char *)&v4, sizeof v4, v4_prefix, out);
    } else if (inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_V4MAPPED(&v6)) {
        write_name(AF_INET, &v6.s6_addr[12], sizeof v4, v4_prefix, out);
    } else if (inet_pton(AF_INET6, address, &v6) == 1) {
        write_name(AF_INET6, v6.s6_addr, sizeof v6, v6_prefix, out);
    } else {
        size_t length = strnlen(address, NETWORK_NAME_SIZE - 1);
        memcpy(out, address, length);
        out[length] = '\0';
    }
}
