/*
 * chat/models: the catalogue, as OpenAI's clients and as the suite's own ask for it.
 */
#include <string.h>

#include "base/clock.h"
#include "chat.h"

/* Clients want a time here that providers do not tell us; any constant serves. */
#define MODEL_CREATED 1677610602

static void write_model(struct json_writer *json, const struct provider *provider,
                        const struct provider_model *model)
{
    json_write_object_begin(json);
    json_write_member_text(json, "id", model->full_id);
    json_write_member_text(json, "object", "model");
    json_write_member_integer(json, "created", MODEL_CREATED);
    json_write_member_text(json, "owned_by", provider->name);
    json_write_object_end(json);
}

void models_list(struct request *request)
{
    const struct catalogue *catalogue = chat_of(request)->catalogue;
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_member_text(json, "object", "list");
    json_write_name(json, "data");
    json_write_array_begin(json);
    for (size_t i = 0; i < catalogue->provider_count; i++) {
        const struct provider *provider = &catalogue->providers[i];
        for (size_t j = 0; j < provider->model_count; j++) {
            write_model(json, provider, &provider->models[j]);
        }
    }
    json_write_array_end(json);
    json_write_object_end(json);
}

/* The id is everything behind /v1/models/: it may hold slashes, which the web server has decoded
 * and the routes have taken apart. */
static struct slice model_of_path(const struct request *request)
{
    struct slice path = request->path;
    const char *prefix = "/v1/models/";
    const char *found = memmem(path.data, path.length, prefix, strlen(prefix));
    if (found == NULL) {
        return (struct slice){"", 0};
    }
    const char *id = found + strlen(prefix);
    struct slice out = {id, (size_t)(path.data + path.length - id)};
    while (out.length > 0 && out.data[out.length - 1] == '/') {
        out.length--;
    }
    return out;
}

void models_show(struct request *request)
{
    const struct provider *provider;
    const struct provider_model *model =
        catalogue_find_model(chat_of(request)->catalogue, model_of_path(request), &provider);
    if (model == NULL) {
        problem_set_openai(request, "invalid_request_error", "model", "model_not_found");
        problem_answer(request, PROBLEM_NOT_FOUND, "The model does not exist");
        return;
    }
    write_model(response_json(request, 200), provider, model);
}

static void describe_model(struct json_writer *json, const struct catalogue *catalogue,
                           const struct provider *provider, const struct provider_model *model)
{
    const struct model_price *price = catalogue_find_price(catalogue, model->full_id);
    json_write_object_begin(json);
    json_write_member_text(json, "id", model->full_id);
    json_write_member_text(json, "provider", provider->name);
    json_write_member_text(json, "provider_name", provider->display_name);
    json_write_member_raw(json, "capabilities", slice_of("[\"chat\",\"streaming\",\"tools\"]"));
    if (model->context_window > 0) {
        json_write_member_integer(json, "context_window", model->context_window);
    } else {
        json_write_member_null(json, "context_window");
    }
    json_write_name(json, "pricing");
    if (price != NULL) {
        json_write_object_begin(json);
        json_write_member_double(json, "input_per_million", price->input);
        json_write_member_double(json, "output_per_million", price->output);
        json_write_member_text(json, "currency", "USD");
        json_write_object_end(json);
    } else {
        json_write_null(json);
    }
    json_write_object_end(json);
}

void models_describe(struct request *request)
{
    const struct catalogue *catalogue = chat_of(request)->catalogue;
    struct model_choice choice;
    enum status status = catalogue_choose_default(catalogue, request->arena, &choice);
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
        return;
    }
    struct json_writer *json = response_json(request, 200);
    int64_t count = 0;
    json_write_object_begin(json);
    json_write_name(json, "models");
    json_write_array_begin(json);
    for (size_t i = 0; i < catalogue->provider_count; i++) {
        const struct provider *provider = &catalogue->providers[i];
        for (size_t j = 0; j < provider->model_count; j++, count++) {
            describe_model(json, catalogue, provider, &provider->models[j]);
        }
    }
    json_write_array_end(json);
    json_write_member_integer(json, "total_count", count);
    json_write_name(json, "routing_info");
    json_write_object_begin(json);
    json_write_member_text(json, "default_provider", choice.provider->name);
    json_write_member_text(json, "default_model", choice.full_id);
    json_write_object_end(json);
    json_write_object_end(json);
}
