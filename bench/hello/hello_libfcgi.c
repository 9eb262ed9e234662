/*
 * hello_libfcgi: the shortest correct program on bare libfcgi, to compare the transport with.
 *
 * Threads (HELLO_WORKERS, 8) that call FCGX_Accept_r on the listening socket given as standard
 * input, or made with --listen PATH. /file answers the bytes of HELLO_FILE, anything else "Hello".
 */
#include <fcgiapp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/text.h"

#define THREADS_MAXIMUM 1024

static struct buffer file;
static int listener;

static void answer(FCGX_Request *request, const char *body, size_t length)
{
    char head[120];
    int size = snprintf(head, sizeof(head),
                        "Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", length);
    FCGX_PutStr(head, size, request->out);
    FCGX_PutStr(body, (int)length, request->out);
}

static void *run(void *context)
{
    FCGX_Request request;
    FCGX_InitRequest(&request, listener, 0);
    while (FCGX_Accept_r(&request) == 0) {
        const char *path = FCGX_GetParam("REQUEST_URI", request.envp);
        if (path != NULL && strcmp(path, "/file") == 0) {
            answer(&request, buffer_text(&file), file.length);
        } else {
            answer(&request, "Hello\n", 6);
        }
        FCGX_Finish_r(&request);
    }
    return context;
}

int main(int argc, char **argv)
{
    const char *path = getenv("HELLO_FILE");
    const char *workers = getenv("HELLO_WORKERS");
    int64_t count = 8;
    buffer_init(&file, 256u << 20);
    if (path != NULL && file_read(path, &file) != STATUS_OK) {
        fprintf(stderr, "hello_libfcgi: cannot read %s\n", path);
        return 1;
    }
    if (workers != NULL && (text_parse_integer(slice_of(workers), &count) != STATUS_OK ||
                            count < 1 || count > THREADS_MAXIMUM)) {
        fprintf(stderr, "hello_libfcgi: HELLO_WORKERS is 1 to %d\n", THREADS_MAXIMUM);
        return 1;
    }
    FCGX_Init();
    if (argc == 3 && strcmp(argv[1], "--listen") == 0) {
        listener = FCGX_OpenSocket(argv[2], 4096);
    }
    pthread_t threads[THREADS_MAXIMUM];
    for (int64_t i = 1; i < count; i++) {
        if (pthread_create(&threads[i], NULL, run, NULL) != 0) {
            return 1;
        }
    }
    run(NULL);
    return 0;
}
