/*
 * models/catalogue: reading the settings into a catalogue, and searching it.
 */
#include "models/catalogue.h"

#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "log/log.h"
#include "upstream/upstream.h"
#include "json/json.h"

#define ARENA_MAXIMUM   ((size_t)4 << 20)
#define MODEL_MAXIMUM   1024
#define SETTING_MAXIMUM 160
#define DEMO_NAME       "demo"

/* What a provider that lists no models is asked for when a request names none: servers with one
 * model (llama.cpp, vLLM) take any name. */
#define UNNAMED_MODEL "default"

struct known_model {
    const char *id;
    int64_t context_window;
};

struct known_provider {
    const char *name;
    const char *display_name;
    const char *base_url;
    bool refuses_stream_options;
    struct known_model models[6];
};

/* Models that their makers document as stable names; <NAME>_MODELS replaces a list. */
static const struct known_provider known_providers[] = {
    {"openai",
     "OpenAI",
     "https://api.openai.com/v1",
     false,
     {{"gpt-4o-mini", 128000},
      {"gpt-4o", 128000},
      {"gpt-4.1-mini", 1047576},
      {"gpt-4.1", 1047576}}},
    {"groq",
     "Groq",
     "https://api.groq.com/openai/v1",
     false,
     {{"llama-3.3-70b-versatile", 131072}, {"llama-3.1-8b-instant", 131072}}},
    {"deepseek",
     "DeepSeek",
     "https://api.deepseek.com/v1",
     false,
     {{"deepseek-chat", 131072}, {"deepseek-reasoner", 131072}}},
    {"gemini",
     "Google Gemini",
     "https://generativelanguage.googleapis.com/v1beta/openai",
     false,
     {{"gemini-2.5-flash", 1048576}, {"gemini-2.5-pro", 1048576}}},
    /* Mistral refuses members it does not know, and tells the usage of a stream unasked. */
    {"mistral",
     "Mistral AI",
     "https://api.mistral.ai/v1",
     true,
     {{"mistral-small-latest", 131072}, {"mistral-large-latest", 131072}}},
    {"openrouter", "OpenRouter", "https://openrouter.ai/api/v1", false, {{"openrouter/auto", 0}}},
    {"ollama", "Ollama", "http://127.0.0.1:11434/v1", false, {{"llama3.2", 131072}}},
};

static const struct known_provider demo = {
    DEMO_NAME, "Built-in demo", NULL, false, {{"echo", 0}, {"slow", 0}}};

/* Wire formats of others are not spoken: such a provider must not be mistaken for this one. */
static const char spoken_format[] = "openai";

struct builder {
    struct catalogue *catalogue;
    const struct config *config;
    struct buffer *problem;
    enum status status;
};

/* --- Settings -------------------------------------------------------------------------------- */

/* before + NAME + after, NAME in capitals. */
static const char *look_up(const struct config *config, const char *before, const char *name,
                           const char *after)
{
    char setting[SETTING_MAXIMUM];
    size_t length = strlen(before);
    if (length + strlen(name) + strlen(after) >= sizeof setting) {
        return NULL;
    }
    memcpy(setting, before, length);
    for (; *name != '\0'; name++) {
        setting[length++] = *name >= 'a' && *name <= 'z' ? (char)(*name - 'a' + 'A') : *name;
    }
    memcpy(setting + length, after, strlen(after) + 1);
    const char *value = config_lookup(config, setting);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static const char *look_up_both(const struct config *config, const char *name, const char *after)
{
    const char *value = look_up(config, "PROVIDER_", name, after);
    return value != NULL ? value : look_up(config, "", name, after);
}

static enum status refuse(struct builder *builder, const char *name, const char *what)
{
    (void)config_refuse(builder->config, name, what, builder->problem);
    builder->status = STATUS_INVALID;
    return STATUS_INVALID;
}

static enum status refuse_for(struct builder *builder, const char *provider, const char *what)
{
    config_begin_fault(builder->problem);
    buffer_append_format(builder->problem, "provider %s: %s", provider, what);
    builder->status = STATUS_INVALID;
    return STATUS_INVALID;
}

/* --- Models ---------------------------------------------------------------------------------- */

struct model_list {
    struct provider_model *items;
    size_t count;
};

static enum status add_model(struct builder *builder, const struct provider *provider,
                             struct model_list *list, struct slice id, int64_t context_window)
{
    struct arena *arena = &builder->catalogue->arena;
    id = slice_trim(id);
    if (id.length == 0) {
        return STATUS_OK;
    }
    if (list->count == MODEL_MAXIMUM) {
        return refuse_for(builder, provider->name, "too many models");
    }
    char *copy = arena_copy(arena, id.data, id.length);
    char *full = arena_format(arena, "%s/%.*s", provider->name, (int)id.length, id.data);
    if (copy == NULL || full == NULL) {
        return STATUS_NO_MEMORY;
    }
    list->items[list->count++] =
        (struct provider_model){.id = copy, .full_id = full, .context_window = context_window};
    return STATUS_OK;
}

static enum status add_listed_models(struct builder *builder, const struct provider *provider,
                                     struct model_list *list, const char *text)
{
    struct slice rest = slice_trim(slice_of(text));
    enum status status = STATUS_OK;
    if (rest.length > 0 && rest.data[0] == '[') {
        const struct json_node *root;
        status = json_parse(&builder->catalogue->arena, rest, &root);
        if (status == STATUS_NO_MEMORY) {
            return status;
        }
        if (status != STATUS_OK) {
            return refuse_for(builder, provider->name, "the list of models is not valid JSON");
        }
        const struct json_node *item = json_first(root);
        for (; status == STATUS_OK && item != NULL; item = json_next(item)) {
            const char *id;
            if (!json_get_text(item, &id)) {
                return refuse_for(builder, provider->name, "a model is not a string");
            }
            status = add_model(builder, provider, list, slice_of(id), 0);
        }
        return status;
    }
    struct slice part;
    while (status == STATUS_OK && slice_split(&rest, ',', &part)) {
        status = add_model(builder, provider, list, part, 0);
    }
    return status;
}

static size_t count_models_at_most(const char *text)
{
    size_t count = 1;
    for (; text != NULL && *text != '\0'; text++) {
        count += *text == ',';
    }
    return count < MODEL_MAXIMUM ? count : MODEL_MAXIMUM;
}

static enum status set_models(struct builder *builder, struct provider *provider,
                              const struct known_provider *known)
{
    const char *text = look_up_both(builder->config, provider->name, "_MODELS");
    size_t maximum =
        text != NULL ? count_models_at_most(text) : sizeof known->models / sizeof known->models[0];
    struct model_list list = {
        .items = arena_allocate(&builder->catalogue->arena, maximum * sizeof *list.items)};
    if (list.items == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = STATUS_OK;
    if (text != NULL) {
        status = add_listed_models(builder, provider, &list, text);
    } else if (known != NULL) {
        for (const struct known_model *model = known->models;
             status == STATUS_OK && model < known->models + maximum && model->id != NULL; model++) {
            status =
                add_model(builder, provider, &list, slice_of(model->id), model->context_window);
        }
    }
    provider->models = list.items;
    provider->model_count = list.count;
    return status;
}

/* --- Providers ------------------------------------------------------------------------------- */

static struct provider *find_provider(const struct catalogue *catalogue, struct slice name)
{
    for (size_t i = 0; i < catalogue->provider_count; i++) {
        if (slice_equals(name, catalogue->providers[i].name)) {
            return &catalogue->providers[i];
        }
    }
    return NULL;
}

/* In any case, RFC 3986 section 3.1. */
static bool begins_with_scheme(struct slice url, const char *scheme)
{
    size_t length = strlen(scheme);
    return url.length > length && strncasecmp(url.data, scheme, length) == 0;
}

static enum status set_address(struct builder *builder, struct provider *provider,
                               const char *base_url)
{
    struct arena *arena = &builder->catalogue->arena;
    struct slice base = slice_trim(slice_of(base_url));
    while (base.length > 0 && base.data[base.length - 1] == '/') {
        base.length--;
    }
    bool is_tls = begins_with_scheme(base, "https://");
    if (!is_tls && !begins_with_scheme(base, "http://")) {
        return refuse_for(builder, provider->name, "the base URL is not http or https");
    }
    const char *authorities = builder->config->upstream_ca_path;
    if (is_tls && authorities[0] != '\0' &&
        upstream_authorities(authorities) == UPSTREAM_AUTHORITIES_UNUSABLE) {
        return refuse(builder, "UPSTREAM_CA_PATH", "no such directory or file of certificates");
    }
    provider->url = arena_format(arena, "%.*s/chat/completions", (int)base.length, base.data);
    provider->models_url = arena_format(arena, "%.*s/models", (int)base.length, base.data);
    const char *key = look_up_both(builder->config, provider->name, "_API_KEY");
    if (key != NULL) {
        if (strpbrk(key, "\r\n") != NULL) {
            return refuse_for(builder, provider->name, "the API key is more than one line");
        }
        provider->authorization = arena_format(arena, "Authorization: Bearer %s", key);
    }
    return provider->url == NULL || provider->models_url == NULL ||
                   (key != NULL && provider->authorization == NULL)
               ? STATUS_NO_MEMORY
               : STATUS_OK;
}

static enum status add_provider(struct builder *builder, const char *name,
                                const struct known_provider *known, const char *base_url)
{
    struct catalogue *catalogue = builder->catalogue;
    if (catalogue->provider_count == PROVIDER_MAXIMUM) {
        return refuse_for(builder, name, "too many providers");
    }
    const char *format = look_up_both(builder->config, name, "_FORMAT");
    if (format != NULL && strcmp(format, spoken_format) != 0) {
        if (catalogue->left_out_count < PROVIDER_MAXIMUM) {
            catalogue->left_out[catalogue->left_out_count++] = name;
        }
        return STATUS_OK;
    }
    struct provider *provider = &catalogue->providers[catalogue->provider_count];
    *provider = (struct provider){
        .name = name,
        .display_name = known != NULL ? known->display_name : name,
        .takes_stream_options = known == NULL || !known->refuses_stream_options,
    };
    enum status status = base_url != NULL ? set_address(builder, provider, base_url) : STATUS_OK;
    if (status == STATUS_OK) {
        status = set_models(builder, provider, known);
    }
    if (status == STATUS_OK) {
        catalogue->provider_count++;
    }
    return status;
}

/* What <NAME>_ENABLED says; `fallback` when it says nothing. */
static enum status read_enabled(struct builder *builder, const char *name, bool *enabled)
{
    const char *text = look_up_both(builder->config, name, "_ENABLED");
    if (text != NULL && text_parse_boolean(slice_trim(slice_of(text)), enabled) != STATUS_OK) {
        return refuse_for(builder, name, "ENABLED is not true or false");
    }
    return STATUS_OK;
}

static enum status add_known(struct builder *builder, const struct known_provider *known)
{
    const char *declared = look_up(builder->config, "PROVIDER_", known->name, "_BASE_URL");
    const char *own = look_up(builder->config, "", known->name, "_BASE_URL");
    bool enabled = declared != NULL ||
                   look_up_both(builder->config, known->name, "_API_KEY") != NULL ||
                   (own != NULL && strcmp(known->name, "ollama") == 0);
    enum status status = read_enabled(builder, known->name, &enabled);
    if (status != STATUS_OK || !enabled) {
        return status;
    }
    const char *base_url = declared != NULL ? declared : own != NULL ? own : known->base_url;
    return add_provider(builder, known->name, known, base_url);
}

static const struct known_provider *find_known(struct slice name)
{
    for (size_t i = 0; i < sizeof known_providers / sizeof known_providers[0]; i++) {
        if (slice_equals(name, known_providers[i].name)) {
            return &known_providers[i];
        }
    }
    return NULL;
}

/* Names stand in paths, in model ids before a slash, and in metrics. */
static bool is_name(struct slice name)
{
    for (size_t i = 0; i < name.length; i++) {
        char c = name.data[i];
        bool is_word =
            (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
        if (!is_word) {
            return false;
        }
    }
    return name.length > 0 && name.length <= PROVIDER_NAME_MAXIMUM;
}

/* For each PROVIDER_<NAME>_BASE_URL. */
static void add_declared(const char *setting, const char *value, void *context)
{
    struct builder *builder = context;
    size_t front = strlen("PROVIDER_");
    size_t length = strlen(setting) - front - strlen("_BASE_URL");
    if (builder->status != STATUS_OK || value[0] == '\0') {
        return;
    }
    char *name = arena_copy(&builder->catalogue->arena, setting + front, length);
    if (name == NULL) {
        builder->status = STATUS_NO_MEMORY;
        return;
    }
    for (char *at = name; *at != '\0'; at++) {
        *at = *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at;
    }
    struct slice slice = {name, length};
    if (!is_name(slice)) {
        builder->status =
            refuse(builder, setting,
                   "is no name of a provider: up to 48 letters, digits, '_', '-' and '.'");
        return;
    }
    if (find_known(slice) != NULL) {
        return;
    }
    if (slice_equals(slice, DEMO_NAME)) {
        builder->status = refuse(builder, setting, "has the name of the built-in provider");
        return;
    }
    bool enabled = true;
    builder->status = read_enabled(builder, name, &enabled);
    if (builder->status == STATUS_OK && enabled) {
        builder->status = add_provider(builder, name, NULL, value);
    }
}

static enum status add_demo(struct builder *builder)
{
    bool enabled = builder->catalogue->provider_count == 0;
    const char *text = look_up(builder->config, "", DEMO_NAME, "_ENABLED");
    if (!enabled && text != NULL &&
        text_parse_boolean(slice_trim(slice_of(text)), &enabled) != STATUS_OK) {
        return refuse(builder, "DEMO_ENABLED", "is not true or false");
    }
    return enabled ? add_provider(builder, demo.name, &demo, NULL) : STATUS_OK;
}

/* --- Prices ---------------------------------------------------------------------------------- */

static enum status add_price(struct builder *builder, const struct json_node *member)
{
    struct catalogue *catalogue = builder->catalogue;
    struct model_price *price = &catalogue->prices[catalogue->price_count];
    const char *text = "";
    struct slice input;
    (void)json_get_text(member, &text);
    struct slice rest = slice_of(text);
    if (strchr(text, '/') == NULL || !slice_split(&rest, '/', &input) ||
        text_parse_double(slice_trim(input), &price->input) != STATUS_OK ||
        text_parse_double(slice_trim(rest), &price->output) != STATUS_OK || price->input < 0 ||
        price->output < 0 || price->input > 1e6 || price->output > 1e6) {
        return refuse(builder, "MODEL_PRICES",
                      "has a price that is not IN/OUT in dollars per million tokens");
    }
    price->full_id = json_name(member);
    catalogue->price_count++;
    return STATUS_OK;
}

static enum status read_prices(struct builder *builder)
{
    struct catalogue *catalogue = builder->catalogue;
    const struct json_node *root;
    enum status status =
        json_parse(&catalogue->arena, slice_of(builder->config->model_prices), &root);
    if (status != STATUS_OK) {
        return status;
    }
    catalogue->prices =
        arena_allocate(&catalogue->arena, json_count(root) * sizeof *catalogue->prices);
    if (catalogue->prices == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (const struct json_node *member = json_first(root); member; member = json_next(member)) {
        status = add_price(builder, member);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

const struct model_price *catalogue_find_price(const struct catalogue *catalogue,
                                               const char *full_id)
{
    for (size_t i = 0; i < catalogue->price_count; i++) {
        if (strcmp(catalogue->prices[i].full_id, full_id) == 0) {
            return &catalogue->prices[i];
        }
    }
    return NULL;
}

/* --- The catalogue --------------------------------------------------------------------------- */

static enum status choose_default_provider(struct builder *builder)
{
    struct catalogue *catalogue = builder->catalogue;
    const char *wanted = builder->config->default_provider;
    catalogue->default_provider = &catalogue->providers[0];
    if (wanted[0] == '\0') {
        return STATUS_OK;
    }
    catalogue->default_provider = find_provider(catalogue, slice_of(wanted));
    if (catalogue->default_provider == NULL) {
        return refuse(builder, "DEFAULT_PROVIDER",
                      "names a provider that is not configured: it has no <NAME>_API_KEY, and no "
                      "<NAME>_ENABLED=true");
    }
    return STATUS_OK;
}

static enum status build(struct builder *builder)
{
    struct catalogue *catalogue = builder->catalogue;
    catalogue->providers =
        arena_allocate(&catalogue->arena, PROVIDER_MAXIMUM * sizeof *catalogue->providers);
    if (catalogue->providers == NULL) {
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < sizeof known_providers / sizeof known_providers[0]; i++) {
        enum status status = add_known(builder, &known_providers[i]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    config_each(builder->config, "PROVIDER_", "_BASE_URL", add_declared, builder);
    if (builder->status != STATUS_OK) {
        return builder->status;
    }
    enum status status = add_demo(builder);
    if (status == STATUS_OK) {
        status = choose_default_provider(builder);
    }
    if (status == STATUS_OK || status == STATUS_INVALID) {
        enum status prices = read_prices(builder);
        status = prices == STATUS_OK ? status : prices;
    }
    return status;
}

enum status catalogue_create(struct catalogue **out, const struct config *config,
                             struct buffer *problem)
{
    *out = NULL;
    struct catalogue *catalogue = memory_allocate(sizeof *catalogue);
    if (catalogue == NULL) {
        return STATUS_NO_MEMORY;
    }
    arena_init(&catalogue->arena, ARENA_MAXIMUM);
    struct builder builder = {.catalogue = catalogue, .config = config, .problem = problem};
    enum status status = build(&builder);
    if (status != STATUS_OK) {
        catalogue_release(catalogue);
        return status;
    }
    *out = catalogue;
    return STATUS_OK;
}

void catalogue_report(const struct catalogue *catalogue)
{
    for (size_t i = 0; i < catalogue->left_out_count; i++) {
        log_write(LOG_WARNING, "provider_left_out", LOG_TEXT("provider", catalogue->left_out[i]),
                  LOG_TEXT("detail", "its wire format is not spoken"));
    }
}

void catalogue_release(struct catalogue *catalogue)
{
    if (catalogue != NULL) {
        arena_destroy(&catalogue->arena);
        memory_release(catalogue);
    }
}

static const struct provider_model *find_listed(const struct provider *provider, struct slice id)
{
    for (size_t i = 0; i < provider->model_count; i++) {
        if (slice_equals(id, provider->models[i].id)) {
            return &provider->models[i];
        }
    }
    return NULL;
}

/* Splits "provider/model" when the first part is a provider of ours. */
static const struct provider *split_full_id(const struct catalogue *catalogue, struct slice full,
                                            struct slice *model)
{
    struct slice rest = full;
    struct slice name;
    if (full.length == 0 || !slice_split(&rest, '/', &name) || name.length + 1 >= full.length) {
        return NULL;
    }
    *model = rest;
    return find_provider(catalogue, name);
}

const struct provider_model *catalogue_find_model(const struct catalogue *catalogue,
                                                  struct slice model,
                                                  const struct provider **provider)
{
    struct slice id;
    *provider = split_full_id(catalogue, model, &id);
    if (*provider != NULL) {
        const struct provider_model *found = find_listed(*provider, id);
        if (found != NULL) {
            return found;
        }
    }
    const struct provider_model *found = find_listed(catalogue->default_provider, model);
    *provider = catalogue->default_provider;
    for (size_t i = 0; found == NULL && i < catalogue->provider_count; i++) {
        *provider = &catalogue->providers[i];
        found = find_listed(*provider, model);
    }
    return found;
}

static enum status choose(const struct catalogue *catalogue, struct arena *arena,
                          const struct provider *provider, struct slice model,
                          struct model_choice *out)
{
    out->provider = provider;
    out->model = arena_copy(arena, model.data, model.length);
    out->full_id = arena_format(arena, "%s/%.*s", provider->name, (int)model.length, model.data);
    if (out->model == NULL || out->full_id == NULL) {
        return STATUS_NO_MEMORY;
    }
    out->price = catalogue_find_price(catalogue, out->full_id);
    out->label = out->price != NULL || find_listed(provider, model) != NULL ? out->model : "other";
    return STATUS_OK;
}

/* Whose models are not sent to another company, though no provider of that name is configured. */
static bool is_company(struct slice name)
{
    static const char *const others[] = {DEMO_NAME,     "anthropic", "google",       "vertex",
                                         "vertex_ai",   "xai",       "x-ai",         "azure",
                                         "bedrock",     "cohere",    "perplexity",   "together",
                                         "together_ai", "fireworks", "fireworks_ai", "mistralai",
                                         "zai",         "z-ai",      "amazon",       "moonshotai"};
    for (size_t i = 0; i < sizeof known_providers / sizeof known_providers[0]; i++) {
        if (slice_equals_ignoring_case(name, known_providers[i].name)) {
            return true;
        }
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (slice_equals_ignoring_case(name, others[i])) {
            return true;
        }
    }
    return false;
}

static bool names_company(struct slice model)
{
    struct slice rest = model;
    struct slice name;
    return memchr(model.data, '/', model.length) != NULL && slice_split(&rest, '/', &name) &&
           is_company(name);
}

enum status catalogue_choose(const struct catalogue *catalogue, struct arena *arena,
                             struct slice model, struct model_choice *out)
{
    struct slice id = model;
    const struct provider *provider = split_full_id(catalogue, model, &id);
    if (provider == NULL) {
        id = model;
        if (catalogue_find_model(catalogue, model, &provider) == NULL) {
            if (names_company(model)) {
                return STATUS_NOT_FOUND;
            }
            provider = catalogue->default_provider;
        }
    } else if (find_listed(provider, id) == NULL && find_listed(provider, model) != NULL) {
        /* OpenRouter calls one of its models openrouter/auto. */
        id = model;
    }
    /* What the demo can do is known here; everybody else is asked. */
    if (provider->url == NULL && find_listed(provider, id) == NULL) {
        return STATUS_NOT_FOUND;
    }
    return choose(catalogue, arena, provider, id, out);
}

enum status catalogue_choose_default(const struct catalogue *catalogue, struct arena *arena,
                                     struct model_choice *out)
{
    const struct provider *provider = catalogue->default_provider;
    const char *model = provider->model_count > 0 ? provider->models[0].id : UNNAMED_MODEL;
    return choose(catalogue, arena, provider, slice_of(model), out);
}
