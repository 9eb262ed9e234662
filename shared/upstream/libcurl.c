/*
 * upstream/libcurl: see the header.
 *
 * The note in the binary tells packagers which library will be looked for:
 * https://uapi-group.org/specifications/specs/elf_dlopen_metadata/
 */
#include "upstream/libcurl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "log/log.h"

#define LIBRARY "libcurl.so.4"

#define NOTE_TYPE  0x407c0c0a
#define NOTE_OWNER "FDO"
#define NOTE                                                                                       \
    "[{\"feature\":\"upstream\",\"description\":\"calls of providers and services\","              \
    "\"priority\":\"recommended\",\"soname\":[\"" LIBRARY "\"]}]"

static const struct {
    uint32_t owner_size;
    uint32_t note_size;
    uint32_t type;
    char owner[sizeof NOTE_OWNER];
    _Alignas(4) char note[sizeof NOTE];
} note __attribute__((used, section(".note.dlopen"), aligned(4))) = {sizeof NOTE_OWNER, sizeof NOTE,
                                                                     NOTE_TYPE, NOTE_OWNER, NOTE};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool is_loaded;
static struct libcurl functions;

/* POSIX lets a pointer to an object carry one to a function. */
static bool find(void *library, const char *name, void *field)
{
    *(void **)field = dlsym(library, name);
    return *(void **)field != NULL;
}

static void load(void)
{
    struct sigaction current;
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    bool is_complete = library != NULL;
#define LIBCURL_FIND(name)                                                                         \
    is_complete = is_complete && find(library, "curl_" #name, (void *)&functions.name);
    LIBCURL_FUNCTIONS(LIBCURL_FIND)
#undef LIBCURL_FIND
    if (!is_complete) {
        const char *problem = dlerror();
        log_write(LOG_ERROR, "library_missing",
                  LOG_TEXT("problem", problem != NULL ? problem : LIBRARY));
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
