/*
 * segment/lock: a lock for a few hundred nanoseconds of work that survives the death of its
 * holder.
 *
 * Own code because a robust pthread mutex in shared memory makes the kernel walk a list at thread
 * exit that a hostile or broken mapping can corrupt, needs 40 bytes where one word does, and is
 * lost to a process that is forked while it is held.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#include "segment/layout.h"
#include "segment/procfs.h"

#define SPINS                  64 /* about a microsecond: longer than any critical section */
#define YIELDS                 16
#define NAP_NANOSECONDS        50000
#define NAPS_BETWEEN_PROC_LOOK 8

static void relax_processor(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

bool segment_owner_alive(uint64_t owner_word, bool look_into_proc)
{
    pid_t pid = (pid_t)(owner_word & UINT32_MAX);
    if (pid <= 0) {
        return false;
    }
    if (kill(pid, 0) != 0 && errno == ESRCH) {
        return false;
    }
    if (!look_into_proc) {
        return true;
    }
    struct procfs_process process;
    if (procfs_read_process(pid, &process) != STATUS_OK) {
        /* Either it ended in between, which kill tells next time, or /proc hides it. */
        return kill(pid, 0) == 0 || errno != ESRCH;
    }
    uint32_t start = (uint32_t)(owner_word >> 32);
    return !process.has_ended && (start == 0 || start == (uint32_t)process.start_ticks);
}

bool segment_lock_acquire_as(struct segment_lock *lock, uint64_t mine)
{
    for (unsigned attempt = 0;; attempt++) {
        uint64_t holder = 0;
        if (atomic_compare_exchange_strong_explicit(&lock->owner, &holder, mine,
                                                    memory_order_acquire, memory_order_relaxed)) {
            return false;
        }
        if (attempt < SPINS) {
            relax_processor();
            continue;
        }
        if (attempt < SPINS + YIELDS) {
            sched_yield();
            continue;
        }
        bool look = (attempt - SPINS - YIELDS) % NAPS_BETWEEN_PROC_LOOK == 0;
        if (holder != mine && !segment_owner_alive(holder, look)) {
            if (atomic_compare_exchange_strong_explicit(
                    &lock->owner, &holder, mine, memory_order_acquire, memory_order_relaxed)) {
                return true;
            }
            continue;
        }
        struct timespec nap = {.tv_nsec = NAP_NANOSECONDS};
        nanosleep(&nap, NULL);
    }
}

bool segment_lock_acquire(struct segment *segment, struct segment_lock *lock)
{
    return segment_lock_acquire_as(lock, segment_owner_word(segment));
}

void segment_lock_release(struct segment *segment, struct segment_lock *lock)
{
    (void)segment;
    atomic_store_explicit(&lock->owner, 0, memory_order_release);
}
