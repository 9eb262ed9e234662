/*
 * chat/completion_fold: the whole answer that the chunks of a stream add up to, for a client that
 * did not ask for a stream and a provider that sends one nevertheless.
 *
 * Within a choice the pieces are put together: texts of a delta are joined, elements of lists are
 * matched by their `index`, and those without one are added at the end. Names, roles, ids and types
 * are whole in each chunk that has them, and so is everything outside of choices: of these the last
 * one counts. Numbers keep their spelling, and unknown members are kept.
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
    size_t steps_left; /* private: of looking for members and elements in this chunk */
};

/* All texts together may have `maximum` bytes. Allocates nothing. */
void completion_fold_init(struct completion_fold *fold, size_t maximum);
void completion_fold_release(struct completion_fold *fold);

/* `chunk` is one that completion_read_chunk has read and mended. STATUS_TOO_LARGE, also when so many
 * members or elements have to be told apart that it would take long; STATUS_NO_MEMORY. */
enum status completion_fold_add(struct completion_fold *fold, struct slice chunk) MUST_CHECK;

/* Appends the whole answer, a "chat.completion". */
enum status completion_fold_write(const struct completion_fold *fold,
                                  struct buffer *out) MUST_CHECK;

#endif
