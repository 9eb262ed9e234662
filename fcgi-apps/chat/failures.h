/*
 * chat/failures: what a client is told when a provider fails.
 */
#ifndef CHAT_FAILURES_H
#define CHAT_FAILURES_H

#include "base/buffer.h"
#include "http/request.h"
#include "model_call.h"

/* Answers a request in OpenAI's format; nothing may have been sent. */
void failure_answer_openai(struct request *request, const struct model_outcome *outcome);

/* The same as the last frame of a stream that has begun. */
void failure_write_openai_frame(struct request *request, const struct model_outcome *outcome,
                                struct buffer *out);

/* The suite's own error for it. What repeating cannot heal is never told as passing. */
enum problem failure_problem(const struct model_outcome *outcome);

#endif
