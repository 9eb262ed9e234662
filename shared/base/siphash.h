/*
 * siphash: SipHash-2-4 with 128-bit output (Aumasson, Bernstein: "SipHash: a fast short-input
 * PRF", 2012), for keys in shared tables that clients choose.
 *
 * Own code because OpenSSL's EVP_MAC form of it costs a fetch and an allocation per hash, ten
 * times the hash itself, and no other library at hand has it. Checked against the reference
 * vectors in tests/unit.
 */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
    uint64_t words[2];
};

struct siphash_value {
    uint64_t words[2];
};

struct siphash_value siphash_compute(const struct siphash_key *key, const void *bytes,
                                     size_t length);

#endif
