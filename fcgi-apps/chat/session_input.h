/*
 * chat/session_input: what requests about sessions bring, checked.
 */
#ifndef CHAT_SESSION_INPUT_H
#define CHAT_SESSION_INPUT_H

#include <stdbool.h>

#include "http/request.h"
#include "stores/conversations.h"

#define SESSION_ID_MAXIMUM      128   /* of [A-Za-z0-9_.:-] */
#define SESSION_MESSAGE_MAXIMUM 10000 /* characters */

struct session_input {
    const char *session_id;
    const char *message;
    const char *model; /* NULL: not given */
};

/* The body of POST /chat and /chat/stream. False: 422 has been answered. */
bool session_input_read(struct request *request, struct session_input *out);

/* The {id} of the path. False: 422 has been answered. */
bool session_input_path(struct request *request, struct conversation_key *out);

/* The session of that id of the caller's owner. */
struct conversation_key session_key_of(const struct request *request, const char *id);

#endif
