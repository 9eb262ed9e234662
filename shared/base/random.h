/*
 * random: unpredictable bytes from the kernel (getrandom), and what is made of them.
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Fills; cannot fail on Linux after boot (aborts the program if the kernel says otherwise). */
void random_bytes(void *out, size_t length);

/* 36 characters and a NUL. */
#define RANDOM_UUID_SIZE 37

/* RFC 9562 version 4, lower case. Uses a per-thread pool, so it costs no system call each time. */
void random_uuid(char out[RANDOM_UUID_SIZE]);

/* Uniform in [0, bound); for jitter, not for secrets. bound > 0. */
uint64_t random_below(uint64_t bound);

#endif
