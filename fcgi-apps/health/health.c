/*
 * health: what the requests share: the catalogue of providers, the list of services, the prober.
 */
#include "health.h"

#include "base/memory.h"

struct health *health_of(const struct app *app)
{
    return app->state;
}

enum status health_start(struct app *app, struct buffer *problem)
{
    struct health *health = memory_allocate(sizeof *health);
    if (health == NULL) {
        return STATUS_NO_MEMORY;
    }
    app->state = health;
    enum status status = catalogue_create(&health->catalogue, app->config, problem);
    if (status == STATUS_OK) {
        catalogue_report(health->catalogue);
        status = services_load(app->config, health->catalogue, &health->catalogue->arena,
                               &health->services, problem);
    }
    return status == STATUS_OK ? prober_create(&health->prober, app) : status;
}

void health_stop(struct app *app)
{
    struct health *health = health_of(app);
    if (health != NULL) {
        prober_release(health->prober);
        catalogue_release(health->catalogue);
        memory_release(health);
        app->state = NULL;
    }
}
