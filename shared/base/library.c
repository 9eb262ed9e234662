/*
 * library: see the header.
 */
#include "base/library.h"

#include <dlfcn.h>
#include <stdbool.h>

enum status library_load(const char *file, const struct library_function *wanted, size_t count,
                         void *functions, const char **problem)
{
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    bool is_complete = library != NULL;
    for (size_t i = 0; i < count && is_complete; i++) {
        /* POSIX lets a pointer to an object carry one to a function. */
        void **field = (void **)(void *)((char *)functions + wanted[i].offset);
        *field = dlsym(library, wanted[i].name);
        is_complete = *field != NULL;
    }
    if (!is_complete) {
        const char *said = dlerror();
        *problem = said != NULL ? said : file;
        return STATUS_UNAVAILABLE;
    }
    return STATUS_OK;
}
