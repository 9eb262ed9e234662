/*
 * base/accept: the lists in which a client says what it takes and how much it likes it: Accept,
 * Accept-Encoding (RFC 9110 section 12.5).
 */
#ifndef BASE_ACCEPT_H
#define BASE_ACCEPT_H

#include <stdbool.h>

#include "base/text.h"

#define ACCEPT_QUALITY_ONE 1000

struct accept_item {
    struct slice name;    /* "text/plain", "gzip", "*" */
    struct slice version; /* parameter of that name; empty when not given */
    int quality;          /* thousandths; 0: not acceptable, also when it cannot be read */
};

/* Takes the next item off `rest`; false at the end. */
bool accept_next(struct slice *rest, struct accept_item *out);

/* Quality of the item with exactly this name (without regard to case); 0 when it is not there. */
int accept_quality(struct slice list, const char *name);

#endif
