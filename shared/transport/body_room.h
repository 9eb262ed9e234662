/*
 * transport/body_room: how much of larger request bodies a program takes in at once. Private to
 * transport/.
 *
 * A body claims its whole length before a byte of it is read, in memory or on disk, and gives it
 * back when its request ends: what has begun can finish, and what cannot begin is told so at once.
 * One owner holds no more than half of the room.
 */
#ifndef TRANSPORT_BODY_ROOM_H
#define TRANSPORT_BODY_ROOM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/body.h"

/* Bytes of admitted bodies in memory; those beyond go to files as well. */
#define BODY_ROOM_MEMORY ((uint64_t)32 << 20)

/* Part of what claims; zeroed: nothing is claimed. */
struct body_claim {
    uint64_t owner;
    uint64_t size;
    bool is_on_disk;
    struct body_claim *next;
    struct body_claim *previous;
};

struct body_room {
    const char *directory; /* NULL: no files */
    uint64_t disk_maximum; /* bytes */
    pthread_mutex_t lock;
    uint64_t in_memory;
    uint64_t on_disk;
    struct body_claim *claims;
};

void body_room_init(struct body_room *room, const char *directory, uint64_t disk_maximum);
void body_room_release(struct body_room *room);

/* Claims `size` bytes for `owner` (0: nobody in particular) and prepares `body` for them.
 * STATUS_BUSY when there is no room now, STATUS_UNAVAILABLE when the disk has none. May block. */
enum status body_room_claim(struct body_room *room, struct body_claim *claim, uint64_t owner,
                            size_t size, struct body *body) MUST_CHECK;

/* Gives it back; nothing claimed is fine. */
void body_room_leave(struct body_room *room, struct body_claim *claim);

#endif
