/*
 * chat/completion_fold: the whole answer that the chunks of a stream add up to, for a client who did
 * not ask for a stream and a provider that sends one nevertheless.
 *
 * Within a choice, what a model says in pieces is put together: texts of a delta one behind the
 * other, elements of lists by their `index`, those without one behind each other. Names, roles, ids
 * and types are whole in each chunk that has them, as is all that stands outside of choices: there
 * the last one counts. Numbers keep their spelling, members that nobody here knows are kept.
 */
#ifndef CHAT_COMPLETION_FOLD_H
#define CHAT_COMPLETION_FOLD_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"
#include "base/text.h"

struct fold_node;

struct completion_fold {
    struct arena arena;
    struct fold_node *root; /* NULL: nothing was added */
    size_t length;          /* of all texts */
    size_t maximum;
};

/* `maximum` bytes are taken of texts. Takes no memory. */
void completion_fold_init(struct completion_fold *fold, size_t maximum);
void completion_fold_release(struct completion_fold *fold);

/* A chunk as completion_read_chunk has mended it. STATUS_TOO_LARGE; STATUS_NO_MEMORY. */
enum status completion_fold_add(struct completion_fold *fold, struct slice chunk) MUST_CHECK;

enum status completion_fold_write(const struct completion_fold *fold,
                                  struct buffer *out) MUST_CHECK;

#endif
