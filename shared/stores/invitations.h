/*
 * stores/invitations: codes that let one person register each (REGISTRATION=invite).
 *
 * Only SHA-256 of a code is stored; whoever made it shows it once. A code that is used or over is
 * gone.
 */
#ifndef STORES_INVITATIONS_H
#define STORES_INVITATIONS_H

#include <stdint.h>

#include "base/status.h"
#include "storage/storage.h"

#define INVITATION_HASH_SIZE 32

enum status invitation_create(struct storage *storage,
                              const unsigned char hash[INVITATION_HASH_SIZE], int64_t now,
                              int64_t expires_at) MUST_CHECK;

/* STATUS_NOT_FOUND: there is no such code, or it is over. Only invitation_use decides. */
enum status invitation_find(struct storage *storage, const unsigned char hash[INVITATION_HASH_SIZE],
                            int64_t now) MUST_CHECK;

/* Uses it up, inside a transaction; STATUS_DENIED when it cannot be used any more. */
enum status invitation_use(struct storage_connection *connection,
                           const unsigned char hash[INVITATION_HASH_SIZE], int64_t now) MUST_CHECK;

/* Removes those that are over, in batches. */
enum status invitation_sweep(struct storage *storage, int64_t now, int64_t *removed) MUST_CHECK;

#endif
