/*
 * pump_timers: the pairing heap.
 */
#include "transport/pump_timers.h"

#include <stddef.h>

/* Joins two heaps; the later root becomes the leftmost child of the earlier one. */
static struct pump_timer *join(struct pump_timer *a, struct pump_timer *b)
{
    if (a == NULL) {
        return b;
    }
    if (b == NULL) {
        return a;
    }
    if (b->deadline < a->deadline) {
        struct pump_timer *swapped = a;
        a = b;
        b = swapped;
    }
    b->sibling = a->child;
    if (b->sibling != NULL) {
        b->sibling->previous = b;
    }
    b->previous = a;
    a->child = b;
    a->sibling = NULL;
    a->previous = NULL;
    return a;
}

/* The two passes of the paper: pairs from left to right, then the results from right to left. Not
 * recursive, because there may be as many siblings as timers. */
static struct pump_timer *join_siblings(struct pump_timer *first)
{
    struct pump_timer *pairs = NULL;
    while (first != NULL) {
        struct pump_timer *second = first->sibling;
        struct pump_timer *rest = second == NULL ? NULL : second->sibling;
        struct pump_timer *pair = join(first, second);
        pair->sibling = pairs;
        pairs = pair;
        first = rest;
    }
    struct pump_timer *root = NULL;
    while (pairs != NULL) {
        struct pump_timer *next = pairs->sibling;
        root = join(root, pairs);
        pairs = next;
    }
    if (root != NULL) {
        root->sibling = NULL;
        root->previous = NULL;
    }
    return root;
}

void pump_timers_cancel(struct pump_timers *timers, struct pump_timer *timer)
{
    if (!timer->is_set) {
        return;
    }
    struct pump_timer *children = join_siblings(timer->child);
    if (timer == timers->root) {
        timers->root = children;
    } else {
        if (timer->previous->child == timer) {
            timer->previous->child = timer->sibling;
        } else {
            timer->previous->sibling = timer->sibling;
        }
        if (timer->sibling != NULL) {
            timer->sibling->previous = timer->previous;
        }
        timers->root = join(timers->root, children);
    }
    *timer = (struct pump_timer){0};
}

void pump_timers_set(struct pump_timers *timers, struct pump_timer *timer, uint64_t deadline)
{
    pump_timers_cancel(timers, timer);
    timer->deadline = deadline;
    timer->is_set = true;
    timers->root = join(timers->root, timer);
}
