/*
 * json/walk: see the header.
 */
#include "json/walk.h"

enum status json_walk_object(struct json_walk *walk, struct slice text)
{
    json_scan_start(&walk->scanner, text);
    walk->first = true;
    return json_scan_enter_object(&walk->scanner);
}

enum status json_walk_array(struct json_walk *walk, struct slice text)
{
    json_scan_start(&walk->scanner, text);
    walk->first = true;
    return json_scan_enter_array(&walk->scanner);
}

bool json_walk_member(struct json_walk *walk, enum status *status)
{
    *status = json_scan_next_member(&walk->scanner, &walk->first, &walk->name, &walk->value);
    return *status == STATUS_OK;
}

bool json_walk_element(struct json_walk *walk, enum status *status)
{
    *status = json_scan_next_element(&walk->scanner, &walk->first, &walk->value);
    return *status == STATUS_OK;
}

enum status json_walk_end(enum status status)
{
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}
