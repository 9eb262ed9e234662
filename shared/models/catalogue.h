/*
 * models/catalogue: which language model providers are configured, and who answers for a model.
 *
 * Made once at the start from the configuration:
 *
 *   <NAME>_API_KEY, <NAME>_BASE_URL, <NAME>_ENABLED, <NAME>_MODELS   for providers known here
 *   PROVIDER_<NAME>_BASE_URL (declares a provider), _API_KEY, _ENABLED, _MODELS, _FORMAT
 *   DEFAULT_PROVIDER, MODEL_PRICES
 *
 * A known provider is there when it has a key or is enabled by name; a declared one unless it is
 * disabled. Names are lower-case letters, digits, '_', '-' and '.', PROVIDER_NAME_MAXIMUM at most.
 * With none, the built-in demo provider answers. <NAME>_MODELS is a comma list or a JSON array; its
 * first entry is the model of requests that name none. MODEL_PRICES is a JSON object
 * {"provider/model":"IN/OUT"} in US dollars per million tokens; what has no price costs 0.
 *
 * Immutable afterwards; may be shared by threads.
 */
#ifndef MODELS_CATALOGUE_H
#define MODELS_CATALOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"
#include "base/text.h"
#include "config/config.h"

#define PROVIDER_MAXIMUM      64
#define PROVIDER_NAME_MAXIMUM 48 /* bytes */

struct provider_model {
    const char *id;         /* as the provider calls it */
    const char *full_id;    /* "provider/model" */
    int64_t context_window; /* tokens; 0 = unknown */
};

struct provider {
    const char *name;          /* "groq" */
    const char *display_name;  /* "Groq" */
    const char *url;           /* of chat completions; NULL: the built-in demo */
    const char *models_url;    /* of its list of models: asking costs nothing; NULL: the demo */
    const char *authorization; /* header line with the key; NULL = none */
    bool takes_stream_options; /* can be asked to report usage at the end of a stream */
    const struct provider_model *models;
    size_t model_count;
};

/* US dollars per million tokens. */
struct model_price {
    const char *full_id;
    double input;
    double output;
};

struct catalogue {
    struct arena arena;
    struct provider *providers;
    size_t provider_count;
    const struct provider *default_provider;
    struct model_price *prices;
    size_t price_count;
    const char *left_out[PROVIDER_MAXIMUM]; /* configured, but their format is not spoken */
    size_t left_out_count;
};

/* STATUS_INVALID with `problem`: a setting cannot be used. Release with catalogue_release. */
enum status catalogue_create(struct catalogue **out, const struct config *config,
                             struct buffer *problem) MUST_CHECK;
void catalogue_release(struct catalogue *catalogue);

/* Warns in the log of each provider that is left out. */
void catalogue_report(const struct catalogue *catalogue);

struct model_choice {
    const struct provider *provider;
    const char *model;   /* as the provider calls it */
    const char *full_id; /* "provider/model" */
    const char *label;   /* for metrics: `model` if the catalogue has it, else "other" */
    const struct model_price *price; /* NULL = none known */
};

/* "provider/model", an id of the catalogue, or anything that the default provider may know. A name
 * that begins with a company's name ("anthropic/…") is that company's: without such a provider
 * it is nobody's, unless a provider lists it. Texts are in the arena. STATUS_NOT_FOUND: nobody has
 * it. */
enum status catalogue_choose(const struct catalogue *catalogue, struct arena *arena,
                             struct slice model, struct model_choice *out) MUST_CHECK;

/* For requests that name no model. */
enum status catalogue_choose_default(const struct catalogue *catalogue, struct arena *arena,
                                     struct model_choice *out) MUST_CHECK;

/* The entry of the catalogue by its id or "provider/model"; NULL when it is not listed. */
const struct provider_model *catalogue_find_model(const struct catalogue *catalogue,
                                                  struct slice model,
                                                  const struct provider **provider);

const struct model_price *catalogue_find_price(const struct catalogue *catalogue,
                                               const char *full_id);

#endif
