/*
 * health/services: finding services in the list that the program has loaded.
 */
#include <string.h>

#include "health.h"

const struct service *services_find(const struct app *app, const char *name)
{
    const struct service_list *services = &health_of(app)->services;
    for (size_t i = 0; i < services->count; i++) {
        if (strcmp(services->items[i].name, name) == 0) {
            return &services->items[i];
        }
    }
    return NULL;
}

size_t services_list_configured(const struct app *app, const struct service *out[SERVICE_MAXIMUM])
{
    const struct service_list *services = &health_of(app)->services;
    size_t count = 0;
    for (size_t i = 0; i < services->count; i++) {
        if (services->items[i].kind != SERVICE_NOT_CONFIGURED) {
            out[count++] = &services->items[i];
        }
    }
    return count;
}
