/*
 * auth/password: argon2id (RFC 9106) with m=19456 KiB, t=2, p=1, PHC strings.
 *
 * The only place that includes argon2.h. A hash takes about 22 ms and 19 MiB, so hashes running
 * at once are bounded over all processes of the host by a counted lease, and those who wait for a
 * place are bounded in each process by its password_room: threads that wait are missing elsewhere.
 * Never call inside a storage transaction.
 *
 * Passwords are hashed in NFC (NIST SP 800-63B section 5.1.1.2), so that one that was typed on
 * another keyboard is the same.
 */
#ifndef AUTH_PASSWORD_H
#define AUTH_PASSWORD_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/text.h"
#include "segment/segment.h"

/* In bytes of NFC. */
#define PASSWORD_LENGTH_MINIMUM 8
#define PASSWORD_LENGTH_MAXIMUM 1024

/* Of one process: how many of its threads hash or wait for a place. */
struct password_room {
    atomic_uint inside;
    unsigned maximum;
};

struct password_hasher {
    struct segment *segment; /* NULL: not bounded; for the command line */
    unsigned concurrency;    /* places on the host, >= 1 */
    unsigned timeout_milliseconds;
    struct password_room *room; /* NULL: not bounded */
};

/* *hash is a PHC string in the arena. STATUS_INVALID: too short or too long; STATUS_BUSY when the
 * room is full, or no place became free in time (503). */
enum status password_hash(const struct password_hasher *hasher, struct arena *arena,
                          struct slice password, const char **hash) MUST_CHECK;

/* STATUS_OK: right; STATUS_DENIED: wrong; STATUS_BUSY; STATUS_INVALID: `hash` is no PHC string of
 * argon2, or asks for more than a dozen times our work. *outdated tells that the parameters are
 * weaker than today's. `hash` NULL stands for an unknown user: same work, STATUS_DENIED. */
enum status password_verify(const struct password_hasher *hasher, const char *hash,
                            struct slice password, bool *outdated) MUST_CHECK;

#endif
