/*
 * base/accept: see the header.
 *
 * Own parser because the suite has no HTTP library above the web server. The grammar needed is
 * names with parameters; of those, q and version count. Commas within quoted parameters, which
 * nothing we offer has, end an item.
 */
#include "base/accept.h"

/* "0.7" as 700; -1 for anything that is not a qvalue. */
static int parse_quality(struct slice text)
{
    if (text.length == 0 || text.length > 5 || (text.data[0] != '0' && text.data[0] != '1') ||
        (text.length > 1 && text.data[1] != '.')) {
        return -1;
    }
    int quality = (text.data[0] - '0') * ACCEPT_QUALITY_ONE;
    int place = ACCEPT_QUALITY_ONE / 10;
    for (size_t i = 2; i < text.length; i++, place /= 10) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return -1;
        }
        quality += (text.data[i] - '0') * place;
    }
    return quality <= ACCEPT_QUALITY_ONE ? quality : -1;
}

static struct slice unquote(struct slice text)
{
    if (text.length >= 2 && text.data[0] == '"' && text.data[text.length - 1] == '"') {
        text.data++;
        text.length -= 2;
    }
    return text;
}

bool accept_next(struct slice *rest, struct accept_item *out)
{
    struct slice item;
    struct slice part;
    *out = (struct accept_item){.quality = ACCEPT_QUALITY_ONE};
    if (!slice_split(rest, ',', &item)) {
        return false;
    }
    for (bool is_first = true; slice_split(&item, ';', &part); is_first = false) {
        if (is_first) {
            out->name = slice_trim(part);
            continue;
        }
        struct slice name;
        if (!slice_split(&part, '=', &name)) {
            continue;
        }
        name = slice_trim(name);
        struct slice value = unquote(slice_trim(part));
        if (slice_equals_ignoring_case(name, "q")) {
            int quality = parse_quality(value);
            out->quality = quality < 0 ? 0 : quality;
        } else if (slice_equals_ignoring_case(name, "version")) {
            out->version = value;
        }
    }
    return true;
}

int accept_quality(struct slice list, const char *name)
{
    struct accept_item item;
    int quality = 0;
    while (accept_next(&list, &item)) {
        if (slice_equals_ignoring_case(item.name, name) && item.quality > quality) {
            quality = item.quality;
        }
    }
    return quality;
}
