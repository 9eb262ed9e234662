/*
 * random: getrandom(2), with a small pool per thread for identifiers.
 *
 * A pool must not be shared with a forked child, or both would hand out the same identifiers. So
 * each pool remembers the generation of the process it was filled in; a fork handler counts the
 * generation up in the child.
 */
#include "base/random.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define POOL_SIZE 1024

struct pool {
    unsigned char bytes[POOL_SIZE];
    size_t left;
    unsigned generation;
};

static _Thread_local struct pool pool;
/* 0 only before the fork handler is installed, so a fresh pool never matches. */
static atomic_uint process_generation;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void count_generation(void)
{
    atomic_fetch_add_explicit(&process_generation, 1, memory_order_relaxed);
}

static void install_fork_handler(void)
{
    if (pthread_atfork(NULL, NULL, count_generation) != 0) {
        abort();
    }
    count_generation();
}

void random_bytes(void *out, size_t length)
{
    unsigned char *at = out;
    while (length > 0) {
        ssize_t got = getrandom(at, length, 0);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            abort();
        }
        at += got;
        length -= (size_t)got;
    }
}

/* `length` is at most POOL_SIZE. */
static void take_from_pool(void *out, size_t length)
{
    pthread_once(&once, install_fork_handler);
    unsigned generation = atomic_load_explicit(&process_generation, memory_order_relaxed);
    if (pool.left < length || pool.generation != generation) {
        random_bytes(pool.bytes, POOL_SIZE);
        pool.left = POOL_SIZE;
        pool.generation = generation;
    }
    pool.left -= length;
    memcpy(out, pool.bytes + pool.left, length);
}

void random_uuid(char out[RANDOM_UUID_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[16];
    take_from_pool(bytes, sizeof(bytes));
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40); /* version 4 */
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80); /* variant of RFC 9562 */
    char *at = out;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *at++ = '-';
        }
        *at++ = digits[bytes[i] >> 4];
        *at++ = digits[bytes[i] & 0x0f];
    }
    *at = '\0';
}

uint64_t random_below(uint64_t bound)
{
    /* 2^64 modulo bound: numbers below it would make small results likelier. */
    uint64_t unfair = (0 - bound) % bound;
    uint64_t number;
    do {
        take_from_pool(&number, sizeof(number));
    } while (number < unfair);
    return number % bound;
}
