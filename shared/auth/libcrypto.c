/*
 * auth/libcrypto: see the header.
 */
#include "auth/libcrypto.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/library.h"
#include "log/log.h"

#define LIBRARY "libcrypto.so.3"

LIBRARY_NOTE("auth", "tokens and keys", "required", LIBRARY);

static const struct library_function wanted[] = {
#define LIBCRYPTO_ROW(name) {#name, offsetof(struct libcrypto, name)},
    LIBCRYPTO_FUNCTIONS(LIBCRYPTO_ROW)
#undef LIBCRYPTO_ROW
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool is_loaded;
static struct libcrypto functions;

static void load(void)
{
    const char *problem;
    is_loaded = library_load(LIBRARY, wanted, sizeof wanted / sizeof wanted[0], &functions,
                             &problem) == STATUS_OK;
    if (!is_loaded) {
        log_write(LOG_CRITICAL, "library_missing", LOG_TEXT("problem", problem));
    }
}

enum status libcrypto_load(void)
{
    pthread_once(&once, load);
    return is_loaded ? STATUS_OK : STATUS_UNAVAILABLE;
}

const struct libcrypto *libcrypto(void)
{
    return &functions;
}
