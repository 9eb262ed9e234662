/*
 * upstream/libcurl: see the header.
 */
#include "upstream/libcurl.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "base/library.h"
#include "log/log.h"

#define LIBRARY "libcurl.so.4"

LIBRARY_NOTE("upstream", "calls of providers and services", "recommended", LIBRARY);

static const struct library_function wanted[] = {
#define LIBCURL_ROW(name) {"curl_" #name, offsetof(struct libcurl, name)},
    LIBCURL_FUNCTIONS(LIBCURL_ROW)
#undef LIBCURL_ROW
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool is_loaded;
static struct libcurl functions;

static void load(void)
{
    struct sigaction current;
    const char *problem;
    if (library_load(LIBRARY, wanted, sizeof wanted / sizeof wanted[0], &functions, &problem) !=
        STATUS_OK) {
        log_write(LOG_ERROR, "library_missing", LOG_TEXT("problem", problem));
        return;
    }
    if (sigaction(SIGPIPE, NULL, &current) == 0 && current.sa_handler == SIG_DFL) {
        signal(SIGPIPE, SIG_IGN);
    }
    is_loaded = functions.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

enum status libcurl_load(void)
{
    pthread_once(&once, load);
    return is_loaded ? STATUS_OK : STATUS_UNAVAILABLE;
}

const struct libcurl *libcurl(void)
{
    return &functions;
}
