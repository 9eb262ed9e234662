/*
 * tests/torture/libraries: the libraries' allocations become ours, so that the switch of
 * base/memory makes them fail as well.
 *
 * SQLite, libcurl and OpenSSL are told by their own interfaces; that must be the first thing a
 * program does.
 */
#ifndef TESTS_TORTURE_LIBRARIES_H
#define TESTS_TORTURE_LIBRARIES_H

#include <curl/curl.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* --- SQLite: must know the size of what it holds ---------------------------------------------- */

#define LIBRARY_HEADER 16

static void *sqlite_take(int size)
{
    char *block = memory_allocate((size_t)size + LIBRARY_HEADER);
    if (block == NULL) {
        return NULL;
    }
    memcpy(block, &size, sizeof size);
    return block + LIBRARY_HEADER;
}

static void sqlite_return(void *pointer)
{
    memory_release(pointer != NULL ? (char *)pointer - LIBRARY_HEADER : NULL);
}

static int sqlite_size(void *pointer)
{
    int size = 0;
    if (pointer != NULL) {
        memcpy(&size, (char *)pointer - LIBRARY_HEADER, sizeof size);
    }
    return size;
}

static void *sqlite_resize(void *pointer, int size)
{
    char *block = memory_resize((char *)pointer - LIBRARY_HEADER, (size_t)size + LIBRARY_HEADER);
    if (block == NULL) {
        return NULL;
    }
    memcpy(block, &size, sizeof size);
    return block + LIBRARY_HEADER;
}

static int sqlite_round_up(int size)
{
    return (size + 7) & ~7;
}

static int sqlite_begin(void *context)
{
    (void)context;
    return SQLITE_OK;
}

static void sqlite_end(void *context)
{
    (void)context;
}

/* --- OpenSSL ----------------------------------------------------------------------------------- */

static void *openssl_take(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return memory_resize(NULL, size);
}

static void openssl_return(void *pointer, const char *file, int line)
{
    (void)file;
    (void)line;
    memory_release(pointer);
}

static void *openssl_resize(void *pointer, size_t size, const char *file, int line)
{
    if (size == 0) {
        openssl_return(pointer, file, line);
        return NULL;
    }
    return memory_resize(pointer, size);
}

/* --- libcurl ----------------------------------------------------------------------------------- */

static void *curl_take(size_t size)
{
    return memory_resize(NULL, size > 0 ? size : 1);
}

static void *curl_resize(void *pointer, size_t size)
{
    return memory_resize(pointer, size > 0 ? size : 1);
}

static char *curl_copy(const char *text)
{
    return memory_copy_text(text, strlen(text));
}

static void *curl_take_zeroed(size_t count, size_t size)
{
    return memory_allocate(count * size > 0 ? count * size : 1);
}

/* Before anything else. */
static inline void libraries_use_our_memory(void)
{
    static const sqlite3_mem_methods methods = {.xMalloc = sqlite_take,
                                                .xFree = sqlite_return,
                                                .xRealloc = sqlite_resize,
                                                .xSize = sqlite_size,
                                                .xRoundup = sqlite_round_up,
                                                .xInit = sqlite_begin,
                                                .xShutdown = sqlite_end};
    if (CRYPTO_set_mem_functions(openssl_take, openssl_resize, openssl_return) != 1 ||
        sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK ||
        curl_global_init_mem(CURL_GLOBAL_DEFAULT, curl_take, memory_release, curl_resize, curl_copy,
                             curl_take_zeroed) != CURLE_OK) {
        abort();
    }
}

#endif
