/*
 * body_room: a sum for memory, a sum for the disk, and the list of who holds what.
 */
#include "transport/body_room.h"

void body_room_init(struct body_room *room, const char *directory, uint64_t disk_maximum)
{
    *room = (struct body_room){.directory = directory, .disk_maximum = disk_maximum};
    pthread_mutex_init(&room->lock, NULL);
}

void body_room_release(struct body_room *room)
{
    pthread_mutex_destroy(&room->lock);
}

static uint64_t held_by(const struct body_room *room, uint64_t owner)
{
    uint64_t sum = 0;
    for (const struct body_claim *claim = room->claims; claim != NULL; claim = claim->next) {
        sum += claim->owner == owner && claim->is_on_disk ? claim->size : 0;
    }
    return sum;
}

/* A single body may have all of the room: else what is allowed could never be sent. */
static bool has_disk_room(const struct body_room *room, uint64_t owner, uint64_t size)
{
    uint64_t free = room->disk_maximum > room->on_disk ? room->disk_maximum - room->on_disk : 0;
    uint64_t held = owner != 0 ? held_by(room, owner) : 0;
    return room->directory != NULL && size <= free &&
           (held == 0 || held + size <= room->disk_maximum / 2);
}

static enum status enter(struct body_room *room, struct body_claim *claim)
{
    enum status status = STATUS_OK;
    pthread_mutex_lock(&room->lock);
    claim->is_on_disk =
        claim->size > BODY_MEMORY_MAXIMUM || room->in_memory + claim->size > BODY_ROOM_MEMORY;
    if (!claim->is_on_disk) {
        room->in_memory += claim->size;
    } else if (has_disk_room(room, claim->owner, claim->size)) {
        room->on_disk += claim->size;
    } else {
        status = STATUS_BUSY;
    }
    if (status == STATUS_OK) {
        claim->previous = NULL;
        claim->next = room->claims;
        if (room->claims != NULL) {
            room->claims->previous = claim;
        }
        room->claims = claim;
    }
    pthread_mutex_unlock(&room->lock);
    return status;
}

enum status body_room_claim(struct body_room *room, struct body_claim *claim, uint64_t owner,
                            size_t size, struct body *body)
{
    /* An empty one is a claim as well: its size says that there is one. */
    *claim = (struct body_claim){.owner = owner, .size = size > 0 ? size : 1};
    enum status status = enter(room, claim);
    if (status != STATUS_OK) {
        *claim = (struct body_claim){.size = 0};
        return status;
    }
    if (claim->is_on_disk) {
        status = body_use_file(body, room->directory, size);
        if (status != STATUS_OK) {
            body_room_leave(room, claim);
        }
    }
    return status;
}

void body_room_leave(struct body_room *room, struct body_claim *claim)
{
    if (claim->size == 0) {
        return;
    }
    pthread_mutex_lock(&room->lock);
    if (claim->is_on_disk) {
        room->on_disk -= claim->size;
    } else {
        room->in_memory -= claim->size;
    }
    if (claim->previous != NULL) {
        claim->previous->next = claim->next;
    } else {
        room->claims = claim->next;
    }
    if (claim->next != NULL) {
        claim->next->previous = claim->previous;
    }
    pthread_mutex_unlock(&room->lock);
    *claim = (struct body_claim){.size = 0};
}
