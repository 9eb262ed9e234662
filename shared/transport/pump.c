/*
 * pump: the loop: descriptors, timers, messages from other threads, and then the streams that have
 * something to do.
 *
 * A turn calls the owners of streams and of upstream calls; nothing they do frees a stream, a
 * source or a timer that the turn still looks at: streams end in its last step only, and sources
 * that are no longer watched are retired until then.
 */
#include "transport/pump.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "transport/pump_private.h"

#define EVENTS_IN_A_TURN 128
#define EVENTS_AT_A_TIME 8
/* Of a turn: that of the descriptors, and that of the timers. */
#define PART_NANOSECONDS UINT64_C(20000000)

_Thread_local struct pump *pump_of_loopback;

/* --- Messages -------------------------------------------------------------------------------- */

void pump_send(struct pump *pump, struct pump_message *message)
{
    message->next = NULL;
    pthread_mutex_lock(&pump->lock);
    bool was_empty = pump->first_message == NULL;
    if (was_empty) {
        pump->first_message = message;
    } else {
        pump->last_message->next = message;
    }
    pump->last_message = message;
    /* Under the lock, because the thread may end and be released once the inbox is empty. */
    if (was_empty) {
        uint64_t one = 1;
        ssize_t written = write(pump->wake, &one, sizeof(one));
        (void)written;
    }
    pthread_mutex_unlock(&pump->lock);
}

static void receive_messages(struct pump *pump)
{
    pthread_mutex_lock(&pump->lock);
    struct pump_message *message = pump->first_message;
    pump->first_message = NULL;
    pump->last_message = NULL;
    pthread_mutex_unlock(&pump->lock);
    while (message != NULL) {
        struct pump_message *next = message->next;
        message->receive(pump, message);
        message = next;
    }
}

struct post {
    struct pump_message message; /* first */
    void (*work)(void *context);
    void *context;
    struct context origin;
};

static void receive_post(struct pump *pump, struct pump_message *message)
{
    (void)pump;
    struct post *post = (struct post *)message;
    const struct context before = context_enter(&post->origin);
    post->work(post->context);
    context_leave(&before);
    memory_release(post);
}

enum status pump_post(struct pump *pump, void (*work)(void *context), void *context)
{
    struct post *post = memory_allocate(sizeof(*post));
    if (post == NULL) {
        return STATUS_NO_MEMORY;
    }
    post->message.receive = receive_post;
    post->work = work;
    post->context = context;
    post->origin = *context_current();
    pump_send(pump, &post->message);
    return STATUS_OK;
}

static void receive_shut_down(struct pump *pump, struct pump_message *message)
{
    (void)message;
    pump->is_shutting_down = true;
    for (struct stream *stream = pump->streams; stream != NULL; stream = stream->next) {
        stream_tell_shutdown(stream);
    }
}

void pump_shut_down(struct pump *pump)
{
    pthread_mutex_lock(&pump->lock);
    bool is_first = !pump->is_refusing;
    pump->is_refusing = true;
    pthread_mutex_unlock(&pump->lock);
    if (is_first) {
        pump->shut_down.receive = receive_shut_down;
        pump_send(pump, &pump->shut_down);
    }
}

/* --- Descriptors of others --------------------------------------------------------------------- */

static enum status make_room_for(struct pump *pump, int descriptor)
{
    size_t needed = (size_t)descriptor + 1;
    if (needed <= pump->source_room) {
        return STATUS_OK;
    }
    size_t room = pump->source_room * 2 > needed ? pump->source_room * 2 : needed + 64;
    struct pump_source **sources =
        memory_resize(pump->sources, room * sizeof(struct pump_source *));
    if (sources == NULL) {
        return STATUS_NO_MEMORY;
    }
    memset(sources + pump->source_room, 0,
           (room - pump->source_room) * sizeof(struct pump_source *));
    pump->sources = sources;
    pump->source_room = room;
    return STATUS_OK;
}

/* Also right when the descriptor was closed, and perhaps opened anew, without pump_unwatch. */
static bool set_events(struct pump *pump, struct pump_source *source, bool is_new, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    const int first = is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(pump->epoll, first, source->descriptor, &event) == 0) {
        return true;
    }
    const int second = is_new ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    return (errno == ENOENT || errno == EEXIST) &&
           epoll_ctl(pump->epoll, second, source->descriptor, &event) == 0;
}

enum status pump_watch(struct pump *pump, int descriptor, bool read, bool write, pump_ready *ready,
                       void *context)
{
    if (descriptor < 0) {
        return STATUS_INVALID;
    }
    if (make_room_for(pump, descriptor) != STATUS_OK) {
        return STATUS_NO_MEMORY;
    }
    struct pump_source *source = pump->sources[descriptor];
    bool is_new = source == NULL;
    if (is_new) {
        source = memory_allocate(sizeof(*source));
        if (source == NULL) {
            return STATUS_NO_MEMORY;
        }
        source->descriptor = descriptor;
        pump->sources[descriptor] = source;
    }
    source->ready = ready;
    source->context = context;
    source->origin = *context_current();
    uint32_t events = (read ? (uint32_t)EPOLLIN : 0) | (write ? (uint32_t)EPOLLOUT : 0);
    if (!set_events(pump, source, is_new, events)) {
        pump_unwatch(pump, descriptor);
        return STATUS_INTERNAL;
    }
    return STATUS_OK;
}

void pump_unwatch(struct pump *pump, int descriptor)
{
    if (descriptor < 0 || (size_t)descriptor >= pump->source_room ||
        pump->sources[descriptor] == NULL) {
        return;
    }
    struct pump_source *source = pump->sources[descriptor];
    pump->sources[descriptor] = NULL;
    epoll_ctl(pump->epoll, EPOLL_CTL_DEL, descriptor, NULL);
    source->ready = NULL;
    source->next_retired = pump->retired;
    pump->retired = source;
}

static void release_retired(struct pump *pump)
{
    while (pump->retired != NULL) {
        struct pump_source *source = pump->retired;
        pump->retired = source->next_retired;
        memory_release(source);
    }
}

static void dispatch(struct pump *pump, const struct epoll_event *event)
{
    struct pump_source *source = event->data.ptr;
    if (source == NULL) {
        uint64_t ignored;
        ssize_t length = read(pump->wake, &ignored, sizeof(ignored));
        (void)length;
    } else if (source->stream != NULL) {
        stream_ready(source->stream, event->events);
    } else if (source->ready != NULL) {
        uint32_t ended = event->events & (EPOLLERR | EPOLLHUP);
        const struct context before = context_enter(&source->origin);
        source->ready(source->descriptor, (event->events & EPOLLIN) != 0 || ended != 0,
                      (event->events & EPOLLOUT) != 0 || ended != 0, source->context);
        context_leave(&before);
    }
}

/* --- Timers ------------------------------------------------------------------------------------ */

static struct pump_named_timer **find_timer(struct pump *pump, pump_expired *expired, void *context)
{
    uintptr_t hash = ((uintptr_t)context >> 4) ^ ((uintptr_t)context >> 12) ^ (uintptr_t)expired;
    struct pump_named_timer **at = &pump->buckets[hash % PUMP_TIMER_BUCKETS];
    while (*at != NULL && ((*at)->expired != expired || (*at)->context != context)) {
        at = &(*at)->next;
    }
    return at;
}

/* `at` as find_timer returns it; one that is not there is none. */
static void forget_timer(struct pump *pump, struct pump_named_timer **at)
{
    struct pump_named_timer *named = *at;
    if (named != NULL) {
        pump_timers_cancel(&pump->named_timers, &named->timer);
        *at = named->next;
        memory_release(named);
    }
}

enum status pump_set_timer(struct pump *pump, int64_t milliseconds, pump_expired *expired,
                           void *context)
{
    struct pump_named_timer **at = find_timer(pump, expired, context);
    if (milliseconds < 0) {
        forget_timer(pump, at);
        return STATUS_OK;
    }
    if (*at == NULL) {
        struct pump_named_timer *named = memory_allocate(sizeof(*named));
        if (named == NULL) {
            return STATUS_NO_MEMORY;
        }
        named->expired = expired;
        named->context = context;
        *at = named;
    }
    (*at)->origin = *context_current();
    uint64_t deadline = clock_monotonic_nanoseconds() + (uint64_t)milliseconds * 1000000;
    pump_timers_set(&pump->named_timers, &(*at)->timer, deadline);
    return STATUS_OK;
}

static bool has_lasted(uint64_t since)
{
    return clock_monotonic_nanoseconds() - since > PART_NANOSECONDS;
}

/* Those that are set by the owners of timers that run out now wait for the next turn, or two
 * owners could keep the loop from everything else. So do those that find this part of the turn long
 * enough, whatever time the descriptors have taken. */
static void expire_timers(struct pump *pump)
{
    uint64_t now = pump->now;
    struct pump_timer *timer = pump->stream_timers.root;
    while (timer != NULL && timer->deadline <= now) {
        size_t offset = offsetof(struct stream, timer);
        struct stream *stream = (struct stream *)(void *)((char *)timer - offset);
        pump_timers_cancel(&pump->stream_timers, timer);
        stream_expired(stream);
        timer = pump->stream_timers.root;
    }
    timer = pump->named_timers.root;
    uint64_t began = clock_monotonic_nanoseconds();
    while (timer != NULL && timer->deadline <= now && !has_lasted(began)) {
        struct pump_named_timer *named = (struct pump_named_timer *)timer;
        pump_expired *expired = named->expired;
        void *context = named->context;
        const struct context before = context_enter(&named->origin);
        forget_timer(pump, find_timer(pump, expired, context));
        expired(context);
        context_leave(&before);
        timer = pump->named_timers.root;
    }
}

bool pump_turn_is_long(const struct pump *pump)
{
    return has_lasted(pump->now);
}

static int wait_time(struct pump *pump)
{
    const struct pump_timer *a = pump->stream_timers.root;
    const struct pump_timer *b = pump->named_timers.root;
    if (pump->dirty != NULL) {
        return 0;
    }
    if (a == NULL && b == NULL) {
        return -1;
    }
    uint64_t deadline =
        a == NULL || (b != NULL && b->deadline < a->deadline) ? b->deadline : a->deadline;
    uint64_t now = clock_monotonic_nanoseconds();
    if (deadline <= now) {
        return 0;
    }
    uint64_t milliseconds = (deadline - now + 999999) / 1000000;
    return milliseconds < 3600000 ? (int)milliseconds : 3600000;
}

/* --- The loop ------------------------------------------------------------------------------------ */

static void settle_streams(struct pump *pump)
{
    /* Those that become dirty on the way have their turn after the next look at the descriptors. */
    struct stream *stream = pump->dirty;
    pump->dirty = NULL;
    while (stream != NULL) {
        struct stream *next = stream->next_dirty;
        stream->is_dirty = false;
        stream_settle(stream);
        stream = next;
    }
}

/* What is ready is looked at until this part of the turn has lasted long enough; the rest is ready in
 * the next one. Several large answers that end together would otherwise be one long pause of every
 * stream. The kernel moves what it returns to the end of its list, so one event at a time is asked
 * for while time is short: else those that are returned and not looked at could be the same for
 * ever. */
static void dispatch_all(struct pump *pump)
{
    struct epoll_event events[EVENTS_AT_A_TIME];
    int at_a_time = pump->is_short_of_time ? 1 : EVENTS_AT_A_TIME;
    int timeout = wait_time(pump);
    int all = 0;
    int count;
    pump->is_short_of_time = false;
    do {
        count = epoll_wait(pump->epoll, events, at_a_time, timeout);
        pump->now = all == 0 ? clock_monotonic_nanoseconds() : pump->now;
        for (int i = 0; i < count && !pump->is_short_of_time; i++) {
            dispatch(pump, &events[i]);
            pump->is_short_of_time = has_lasted(pump->now);
        }
        timeout = 0;
        all += count;
    } while (count == at_a_time && all < EVENTS_IN_A_TURN && !pump->is_short_of_time);
}

static void run_turn(struct pump *pump)
{
    dispatch_all(pump);
    receive_messages(pump);
    expire_timers(pump);
    settle_streams(pump);
    release_retired(pump);
    loop_lag_note(&pump->lag, pump->now);
}

static bool has_streams(struct pump *pump)
{
    pthread_mutex_lock(&pump->lock);
    bool result = pump->stream_count > 0 || pump->first_message != NULL;
    pthread_mutex_unlock(&pump->lock);
    return result;
}

void pump_run(struct pump *pump)
{
    while (has_streams(pump)) {
        run_turn(pump);
    }
}

static void release_attachment(struct pump *pump)
{
    if (pump->attachment != NULL) {
        pump->release_attachment(pump->attachment);
        pump->attachment = NULL;
    }
}

static void *run_thread(void *context)
{
    struct pump *pump = context;
    workers_name_thread(pump->program, "pump");
    while (!pump->is_shutting_down || has_streams(pump)) {
        run_turn(pump);
    }
    release_attachment(pump);
    return NULL;
}

/* --- Making and ending --------------------------------------------------------------------------- */

static void release(struct pump *pump)
{
    release_attachment(pump);
    for (size_t i = 0; i < pump->source_room; i++) {
        pump_unwatch(pump, (int)i);
    }
    release_retired(pump);
    memory_release(pump->sources);
    for (int i = 0; i < PUMP_TIMER_BUCKETS; i++) {
        while (pump->buckets[i] != NULL) {
            forget_timer(pump, &pump->buckets[i]);
        }
    }
    if (pump->epoll >= 0) {
        close(pump->epoll);
    }
    if (pump->wake >= 0) {
        close(pump->wake);
    }
    pthread_mutex_destroy(&pump->lock);
    memory_release(pump);
}

enum status pump_create(struct pump **out, const struct pump_options *options)
{
    *out = NULL;
    struct pump *pump = memory_allocate(sizeof(*pump));
    if (pump == NULL) {
        return STATUS_NO_MEMORY;
    }
    pthread_mutex_init(&pump->lock, NULL);
    pump->workers = options->workers;
    pump->program = options->program;
    pump->stream_maximum =
        options->stream_maximum > 0 ? options->stream_maximum : PUMP_STREAMS_MAXIMUM;
    pump->lag = (struct loop_lag){
        .loop = TRANSPORT_PUMP_LOOP, .turned = options->turned, .context = options->context};
    pump->now = clock_monotonic_nanoseconds();
    pump->epoll = epoll_create1(EPOLL_CLOEXEC);
    pump->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    bool is_ready = pump->epoll >= 0 && pump->wake >= 0 &&
                    epoll_ctl(pump->epoll, EPOLL_CTL_ADD, pump->wake, &event) == 0;
    if (is_ready && pump->workers != NULL) {
        is_ready = workers_make_thread(&pump->thread, run_thread, pump) == STATUS_OK;
        pump->has_thread = is_ready;
    }
    if (!is_ready) {
        release(pump);
        return STATUS_UNAVAILABLE;
    }
    *out = pump;
    return STATUS_OK;
}

void pump_release(struct pump *pump)
{
    if (pump == NULL) {
        return;
    }
    pump_shut_down(pump);
    if (pump->has_thread) {
        pthread_join(pump->thread, NULL);
    } else {
        pump_run(pump);
    }
    release(pump);
}

void *pump_attachment(struct pump *pump)
{
    return pump->attachment;
}

void pump_attach(struct pump *pump, void *object, void (*release_object)(void *object))
{
    pump->attachment = object;
    pump->release_attachment = release_object;
}
