/*
 * arena: a list of blocks, the newest of which is filled from the front.
 *
 * Layout of a block: the header below, then `size` bytes of which the first `used` are handed out.
 * Bytes that are not handed out are zero at all times: a block starts zeroed and arena_reset
 * wipes what was used, so arena_allocate itself never clears.
 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

struct arena_block {
    struct arena_block *next;
    size_t size;
    size_t used;
    alignas(max_align_t) char bytes[];
};

#define ALIGNMENT alignof(max_align_t)

/* Ordinary requests live in one small block; those that have shown that they are large get large
 * ones, so that neither memory nor calls are wasted. */
#define BLOCK_SMALL (4096 - sizeof(struct arena_block))
#define BLOCK_LARGE (65536 - sizeof(struct arena_block))

void arena_init(struct arena *arena, size_t maximum)
{
    arena->blocks = NULL;
    arena->used = 0;
    arena->maximum = maximum;
}

static size_t round_up(size_t size)
{
    return (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
}

static void *take_from_block(struct arena_block *block, size_t size)
{
    size_t start = round_up(block->used);
    if (start > block->size || size > block->size - start) {
        return NULL;
    }
    block->used = start + size;
    return block->bytes + start;
}

static void *take_from_new_block(struct arena *arena, size_t size)
{
    size_t ordinary = arena->used < BLOCK_LARGE ? BLOCK_SMALL : BLOCK_LARGE;
    size_t room = size > ordinary ? size : ordinary;
    if (room > SIZE_MAX - sizeof(struct arena_block)) {
        return NULL;
    }
    struct arena_block *block = memory_allocate(sizeof(struct arena_block) + room);
    if (block == NULL) {
        return NULL;
    }
    block->size = room;
    block->used = size;
    struct arena_block *head = arena->blocks;
    /* A large piece must not push a block that still has room out of sight. */
    if (head != NULL && head->size - head->used > block->size - block->used) {
        block->next = head->next;
        head->next = block;
    } else {
        block->next = head;
        arena->blocks = block;
    }
    return block->bytes;
}

void *arena_allocate(struct arena *arena, size_t size)
{
    size_t start = round_up(arena->used);
    if (start > arena->maximum || size > arena->maximum - start) {
        return NULL;
    }
    void *piece = arena->blocks == NULL ? NULL : take_from_block(arena->blocks, size);
    if (piece == NULL) {
        piece = take_from_new_block(arena, size);
    }
    if (piece != NULL) {
        arena->used = start + size;
    }
    return piece;
}

char *arena_copy(struct arena *arena, const char *text, size_t length)
{
    if (length == SIZE_MAX) {
        return NULL;
    }
    char *copy = arena_allocate(arena, length + 1);
    if (copy != NULL && length > 0) {
        memcpy(copy, text, length);
    }
    return copy;
}

char *arena_format(struct arena *arena, const char *format, ...)
{
    /* Most texts fit here; only longer ones are formatted twice. */
    char small[256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(small, sizeof(small), format, arguments);
    va_end(arguments);
    if (length < 0) {
        return NULL;
    }
    size_t size = (size_t)length + 1;
    if (size <= sizeof(small)) {
        return arena_copy(arena, small, (size_t)length);
    }
    char *text = arena_allocate(arena, size);
    if (text != NULL) {
        va_start(arguments, format);
        vsnprintf(text, size, format, arguments);
        va_end(arguments);
    }
    return text;
}

void arena_reset(struct arena *arena)
{
    struct arena_block *kept = NULL;
    struct arena_block *block = arena->blocks;
    while (block != NULL) {
        struct arena_block *next = block->next;
        if (kept == NULL && block->size == BLOCK_SMALL) {
            kept = block;
        } else {
            memory_release(block);
        }
        block = next;
    }
    if (kept != NULL) {
        memset(kept->bytes, 0, kept->used);
        kept->used = 0;
        kept->next = NULL;
    }
    arena->blocks = kept;
    arena->used = 0;
}

void arena_destroy(struct arena *arena)
{
    struct arena_block *block = arena->blocks;
    while (block != NULL) {
        struct arena_block *next = block->next;
        memory_release(block);
        block = next;
    }
    arena->blocks = NULL;
    arena->used = 0;
}
