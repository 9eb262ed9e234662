/*
 * http/live: parses what SIGHUP may change. All texts live in the arena of the configuration.
 */
#include "http/live.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/memory.h"
#include "json/json.h"

static enum status address_parse(const char *text, struct in6_addr *out, unsigned *bits)
{
    struct in_addr v4;
    if (inet_pton(AF_INET, text, &v4) == 1) {
        memset(out, 0, sizeof *out);
        out->s6_addr[10] = 0xff;
        out->s6_addr[11] = 0xff;
        memcpy(&out->s6_addr[12], &v4, sizeof v4);
        *bits = 32;
        return STATUS_OK;
    }
    if (inet_pton(AF_INET6, text, out) == 1) {
        *bits = 128;
        return STATUS_OK;
    }
    return STATUS_INVALID;
}

enum status network_parse(struct slice text, struct network *out)
{
    struct slice rest = slice_trim(text);
    struct slice address;
    if (rest.length == 0 || !slice_split(&rest, '/', &address) ||
        address.length >= INET6_ADDRSTRLEN) {
        return STATUS_INVALID;
    }
    char copy[INET6_ADDRSTRLEN];
    memcpy(copy, address.data, address.length);
    copy[address.length] = '\0';
    unsigned bits = 0;
    if (address_parse(copy, &out->address, &bits) != STATUS_OK) {
        return STATUS_INVALID;
    }
    int64_t prefix = bits;
    bool has_prefix = address.length < slice_trim(text).length;
    if (has_prefix &&
        (text_parse_integer(rest, &prefix) != STATUS_OK || prefix < 0 || prefix > (int64_t)bits)) {
        return STATUS_INVALID;
    }
    out->prefix = (unsigned)prefix + 128 - bits;
    return STATUS_OK;
}

static bool network_contains(const struct network *network, const struct in6_addr *address)
{
    unsigned whole = network->prefix / 8;
    if (memcmp(&network->address, address, whole) != 0) {
        return false;
    }
    unsigned rest = network->prefix % 8;
    if (rest == 0) {
        return true;
    }
    unsigned mask = 0xffu << (8 - rest);
    return ((network->address.s6_addr[whole] ^ address->s6_addr[whole]) & mask & 0xffu) == 0;
}

bool network_list_contains(const struct network_list *list, const char *text)
{
    struct in6_addr address;
    unsigned bits;
    if (list->count == 0 || address_parse(text, &address, &bits) != STATUS_OK) {
        return false;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (network_contains(&list->items[i], &address)) {
            return true;
        }
    }
    return false;
}

/* A fault has been told: the next setting is looked at all the same. */
static bool goes_on(enum status *kept, enum status status)
{
    if (status != STATUS_OK) {
        *kept = status;
    }
    return status == STATUS_OK || status == STATUS_INVALID;
}

static enum status read_networks(struct config *config, const char *setting,
                                 const struct config_list *texts, struct network_list *out,
                                 struct buffer *problem)
{
    out->items = arena_allocate(&config->arena, texts->count * sizeof *out->items);
    if (out->items == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < texts->count; i++) {
        if (network_parse(slice_of(texts->items[i]), &out->items[i]) != STATUS_OK) {
            return config_refuse(config, setting, "holds what is not an address or network",
                                 problem);
        }
        out->count++;
    }
    return STATUS_OK;
}

static enum status read_policy(const struct config *config, const char *setting, const char *text,
                               struct ratelimit_policy *out, struct buffer *problem)
{
    enum status status = ratelimit_parse_policy(slice_of(text), out);
    return status == STATUS_OK
               ? status
               : config_refuse(config, setting, "is not a rate limit such as 10/minute", problem);
}

static enum status read_policies(struct app_live *live, struct buffer *problem)
{
    const struct config *config = live->config;
    const struct {
        const char *setting;
        const char *text;
    } rows[FAMILY_COUNT] = {
        [FAMILY_DEFAULT] = {"RATE_LIMIT_DEFAULT", config->rate_limit_default},
        [FAMILY_AUTH] = {"RATE_LIMIT_AUTH", config->rate_limit_auth},
        [FAMILY_CHAT] = {"RATE_LIMIT_CHAT", config->rate_limit_chat},
        [FAMILY_CHARTS] = {"RATE_LIMIT_CHARTS", config->rate_limit_charts},
        [FAMILY_HISTORY] = {"RATE_LIMIT_HISTORY", config->rate_limit_history},
        [FAMILY_HEALTH] = {"RATE_LIMIT_HEALTH", config->rate_limit_health},
    };
    enum status kept = STATUS_OK;
    for (size_t i = 0; i < FAMILY_COUNT; i++) {
        if (!goes_on(&kept, read_policy(config, rows[i].setting, rows[i].text, &live->policies[i],
                                        problem))) {
            break;
        }
    }
    return kept;
}

static enum status read_tiers(struct app_live *live, struct buffer *problem)
{
    struct arena *arena = &live->config->arena;
    const struct json_node *root = NULL;
    enum status status = json_parse(arena, slice_of(live->config->rate_limit_tiers), &root);
    if (status != STATUS_OK) {
        return status == STATUS_NO_MEMORY ? status
                                          : config_refuse(live->config, "RATE_LIMIT_TIERS",
                                                          "is not a JSON object", problem);
    }
    live->tiers = arena_allocate(arena, json_count(root) * sizeof *live->tiers);
    if (live->tiers == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (const struct json_node *node = json_first(root); node; node = json_next(node)) {
        struct tier *tier = &live->tiers[live->tier_count];
        const char *text = NULL;
        tier->name = json_name(node);
        if (!json_get_text(node, &text)) {
            return config_refuse(live->config, "RATE_LIMIT_TIERS", "has a value that is no text",
                                 problem);
        }
        status = read_policy(live->config, "RATE_LIMIT_TIERS", text, &tier->policy, problem);
        if (status != STATUS_OK) {
            return status;
        }
        live->tier_count++;
    }
    return STATUS_OK;
}

enum status live_create(struct app_live **out, struct config *config, struct buffer *problem)
{
    *out = NULL;
    struct app_live *live = memory_allocate(sizeof *live);
    if (live == NULL) {
        return STATUS_NO_MEMORY;
    }
    live->config = config;
    enum status status = STATUS_OK;
    if (goes_on(&status, read_policies(live, problem)) &&
        goes_on(&status, read_tiers(live, problem)) &&
        goes_on(&status, read_networks(config, "TRUSTED_PROXIES", &config->trusted_proxies,
                                       &live->trusted_proxies, problem))) {
        (void)goes_on(&status, read_networks(config, "RATE_LIMIT_TRUSTED_CIDRS",
                                             &config->rate_limit_trusted_cidrs,
                                             &live->trusted_clients, problem));
    }
    if (status != STATUS_OK) {
        memory_release(live);
        return status;
    }
    live->redirects_to_https =
        strcmp(config->https_redirect, "true") == 0 ||
        (strcmp(config->https_redirect, "auto") == 0 && config->is_production);
    *out = live;
    return STATUS_OK;
}

enum status live_check(struct config *config, struct buffer *problem)
{
    struct app_live *live = NULL;
    enum status status = live_create(&live, config, problem);
    memory_release(live); /* without the configuration */
    return status;
}

void live_release(struct app_live *live)
{
    while (live != NULL) {
        struct app_live *previous = live->previous;
        config_release(live->config);
        memory_release(live);
        live = previous;
    }
}

const struct ratelimit_policy *live_find_tier(const struct app_live *live, const char *name)
{
    for (size_t i = 0; name != NULL && i < live->tier_count; i++) {
        if (strcmp(live->tiers[i].name, name) == 0) {
            return &live->tiers[i].policy;
        }
    }
    return NULL;
}
