/*
 * ratelimit/group: which slot of a group belongs to whom, and the group's lock.
 */
#include "ratelimit/table.h"

int ratelimit_group_find(const struct ratelimit_group *group, const struct ratelimit_rule *rule)
{
    for (int way = 0; way < RATELIMIT_WAYS; way++) {
        if (group->tags[way] == rule->tag && group->slots[way].hash == rule->hash) {
            return way;
        }
    }
    return -1;
}

int ratelimit_group_choose(const struct ratelimit_group *group, uint64_t now, uint32_t pinned)
{
    for (int way = 0; way < RATELIMIT_WAYS; way++) {
        if ((pinned & (1U << way)) == 0 &&
            (group->tags[way] == 0 || ratelimit_slot_is_idle(&group->slots[way], now))) {
            return way;
        }
    }
    return -1;
}

void ratelimit_group_assign(struct ratelimit_group *group, int way,
                            const struct ratelimit_rule *rule, const struct ratelimit_slot *origin)
{
    /* Free while it is rewritten, so that a death in between leaves no half of a slot. */
    group->tags[way] = 0;
    atomic_signal_fence(memory_order_seq_cst);
    ratelimit_slot_prepare(&group->slots[way], rule);
    if (origin != NULL) {
        ratelimit_slot_copy(&group->slots[way], origin);
    }
    atomic_signal_fence(memory_order_seq_cst);
    group->tags[way] = rule->tag;
}

void ratelimit_group_lock(struct segment *segment, struct ratelimit_group *group)
{
    if (!segment_lock_acquire(segment, &group->lock)) {
        return;
    }
    for (int way = 0; way < RATELIMIT_WAYS; way++) {
        if (group->tags[way] != 0) {
            ratelimit_slot_repair(&group->slots[way]);
        }
    }
}

void ratelimit_group_unlock(struct segment *segment, struct ratelimit_group *group)
{
    segment_lock_release(segment, &group->lock);
}
