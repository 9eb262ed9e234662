/*
 * upstream/libcurl: libcurl, loaded when somebody is first called outside. Private to upstream/, and
 * the only way to its functions.
 *
 * libcurl brings some thirty libraries with it. A program that calls nobody, such as one started by
 * CGI for a single answer, pays neither for finding and relocating them nor for their memory.
 */
#ifndef UPSTREAM_LIBCURL_H
#define UPSTREAM_LIBCURL_H

#include <curl/curl.h>

#include "base/status.h"

#define LIBCURL_FUNCTIONS(FUNCTION)                                                                \
    FUNCTION(easy_cleanup)                                                                         \
    FUNCTION(easy_getinfo)                                                                         \
    FUNCTION(easy_init)                                                                            \
    FUNCTION(easy_pause)                                                                           \
    FUNCTION(easy_perform)                                                                         \
    FUNCTION(easy_reset)                                                                           \
    FUNCTION(easy_setopt)                                                                          \
    FUNCTION(getdate)                                                                              \
    FUNCTION(global_init)                                                                          \
    FUNCTION(multi_add_handle)                                                                     \
    FUNCTION(multi_cleanup)                                                                        \
    FUNCTION(multi_info_read)                                                                      \
    FUNCTION(multi_init)                                                                           \
    FUNCTION(multi_remove_handle)                                                                  \
    FUNCTION(multi_setopt)                                                                         \
    FUNCTION(multi_socket_action)                                                                  \
    FUNCTION(share_cleanup)                                                                        \
    FUNCTION(share_init)                                                                           \
    FUNCTION(share_setopt)

/* Named as libcurl's own, without "curl_". */
struct libcurl {
#define LIBCURL_FIELD(name) __typeof__(curl_##name) *name;
    LIBCURL_FUNCTIONS(LIBCURL_FIELD)
#undef LIBCURL_FIELD
};

/* Loads and initialises it, once for the process; from any thread. Also ignores SIGPIPE where nobody
 * has said what to do with it, because OpenSSL writes to sockets without MSG_NOSIGNAL.
 * STATUS_UNAVAILABLE, each time and with a line in the log the first time: it is not there. */
enum status libcurl_load(void) MUST_CHECK;

/* After libcurl_load has succeeded. */
const struct libcurl *libcurl(void);

#endif
