/*
 * What the tests of segment, lease, board, metrics and ratelimit share: a directory of their own,
 * and children that are always waited for.
 */
#ifndef TESTS_SEGMENT_HELP_H
#define TESTS_SEGMENT_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/random.h"
#include "segment/layout.h"

#define HELP_SECONDS_PER_BINARY 60 /* SIGALRM ends a test that hangs */

static char help_directory[64];

static inline int help_make_directory(void **state)
{
    (void)state;
    snprintf(help_directory, sizeof help_directory, "/tmp/segment-test-XXXXXX");
    return mkdtemp(help_directory) == NULL ? -1 : 0;
}

static inline int help_remove_entry(const char *path, const struct stat *status, int type,
                                    struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static inline int help_remove_directory(void **state)
{
    (void)state;
    return nftw(help_directory, help_remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static inline struct segment *help_open(const char *program, const struct segment_region *regions,
                                        size_t count)
{
    struct segment *segment = NULL;
    struct buffer problem;
    buffer_init(&problem, 1024);
    enum status status = segment_open(&segment, help_directory, program, regions, count, &problem);
    if (status != STATUS_OK) {
        fprintf(stderr, "segment_open: %s: %s\n", status_text(status), buffer_text(&problem));
    }
    buffer_release(&problem);
    return segment;
}

/* Memory that parent and children see, all zero. */
static inline void *help_share(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

/* The child runs `work` and exits with what it returns; it dies with its parent. */
static inline pid_t help_fork(int (*work)(void *context), void *context)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(work(context));
    }
    return pid;
}

/* The exit status, or -signal. */
static inline int help_wait(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) != pid) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline void help_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    help_wait(pid);
}

/* Waits until *flag reaches `value`; the alarm of the binary bounds it. */
static inline void help_await(_Atomic uint32_t *flag, uint32_t value)
{
    while (atomic_load(flag) < value) {
        sched_yield();
    }
}

/* Gives every free slot to a live process: this one, which does not say when it started. */
static inline void help_fill_process_table(struct segment *segment)
{
    for (size_t i = 0; i < SEGMENT_PROCESS_MAXIMUM; i++) {
        uint64_t nobody = 0;
        atomic_compare_exchange_strong(&segment->header->processes[i].owner, &nobody,
                                       (uint64_t)getpid());
    }
}

static inline void help_sleep_for_ever(void)
{
    for (;;) {
        pause();
    }
}

#endif
