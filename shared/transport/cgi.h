/*
 * transport/cgi: one request from environment and stdin, its answer to stdout. Private to
 * transport/.
 *
 * No thread is made. The body is read until CONTENT_LENGTH bytes have come; without
 * CONTENT_LENGTH until the end of the input, except for GET, HEAD and OPTIONS, which then have
 * none (RFC 3875 section 4.2: what follows must not be waited for).
 */
#ifndef TRANSPORT_CGI_H
#define TRANSPORT_CGI_H

#include "transport/pump.h"
#include "transport/transport.h"

/* Answers the request that descriptors `input` and `output` and `environment` (NAME=value,
 * NULL-terminated) describe. `*pump` is looked at after the handler has returned: a pump without
 * thread that the handler has given its exchange to, or NULL. Returns the exit status. */
int cgi_serve(const struct transport_options *options, const char *const *environment, int input,
              int output, struct pump *const *pump);

#endif
