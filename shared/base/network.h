/*
 * base/network: which network an address belongs to, for whatever is counted by client.
 *
 * One person has a whole /64 of IPv6 (NETWORK_OF_PERSON); ::ffff:a.b.c.d is a.b.c.d.
 */
#ifndef BASE_NETWORK_H
#define BASE_NETWORK_H

#define NETWORK_NAME_SIZE 64

/* The prefixes of an IPv4 and of an IPv6 address that stand for one person. */
#define NETWORK_OF_PERSON 32, 64

/* The address without the bits behind its prefix, whose length is a multiple of 8. A text that is no
 * address names itself, cut to the size. */
void network_name(const char *address, unsigned v4_prefix, unsigned v6_prefix,
                  char out[NETWORK_NAME_SIZE]);

#endif
