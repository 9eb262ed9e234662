/*
 * health/report: answers about now: live, ready, all, one service, retest.
 */
#include <string.h>

#include "health.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

static void write_common(struct request *request, struct json_writer *json)
{
    json_write_member_text(json, "version", PACKAGE_VERSION);
    json_write_member_text(json, "environment", request->app->config->environment);
}

void report_live(struct request *request)
{
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_member_text(json, "status", "healthy");
    json_write_member_text(json, "service", request->app->config->app_name);
    write_common(request, json);
    json_write_member_text(json, "timestamp", request_timestamp(request));
    json_write_object_end(json);
}

/* For somebody who has only the address. */
void report_index(struct request *request)
{
    static const char *const parts[][2] = {
        {"health", "/health, /health/live, /health/ready, /health/all"},
        {"accounts", "/auth/register, /auth/login, /auth/me, /auth/api-keys"},
        {"completions", "/v1/models, /v1/chat/completions (base URL of OpenAI clients: /v1)"},
        {"chat", "/chat, /chat/stream, /chat/sessions"},
        {"charts", "/api/charts/{chart_id}"},
    };
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_member_text(json, "service", request->app->config->app_name);
    json_write_member_text(json, "version", PACKAGE_VERSION);
    json_write_name(json, "routes");
    json_write_object_begin(json);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        json_write_member_text(json, parts[i][0], parts[i][1]);
    }
    if (request->app->config->enable_metrics) {
        json_write_member_text(json, "metrics", request->app->config->metrics_path);
    }
    json_write_object_end(json);
    json_write_member_text(json, "credentials",
                           "Authorization: Bearer TOKEN (from /auth/login), or an API key");
    json_write_object_end(json);
}

/* False when the request has been answered: a shortage of ours is no outage of a service. */
static bool check(struct request *request, const struct service *const *services, size_t count,
                  bool fresh, struct probe_result *results)
{
    enum status status = prober_check(request->app, services, count, fresh, results);
    if (status != STATUS_OK) {
        problem_answer_status(request, status);
    }
    return status == STATUS_OK;
}

void report_ready(struct request *request)
{
    const struct service *services[SERVICE_MAXIMUM];
    struct probe_result results[SERVICE_MAXIMUM];
    size_t count = services_list_configured(request->app, services);
    if (!check(request, services, count, false, results)) {
        return;
    }
    bool is_ready = true;
    bool is_degraded = false;
    for (size_t i = 0; i < count; i++) {
        is_ready = is_ready && (results[i].is_healthy || !services[i]->is_required);
        is_degraded = is_degraded || !results[i].is_healthy;
    }
    struct json_writer *json = response_json(request, is_ready ? 200 : 503);
    json_write_object_begin(json);
    json_write_member_text(json, "status",
                           !is_ready     ? "not_ready"
                           : is_degraded ? "degraded"
                                         : "ready");
    write_common(request, json);
    json_write_name(json, "checks");
    json_write_object_begin(json);
    for (size_t i = 0; i < count; i++) {
        json_write_member_boolean(json, services[i]->name, results[i].is_healthy);
    }
    json_write_object_end(json);
    if (!is_ready) {
        json_write_member_text(json, "message", "A required dependency does not answer");
        response_add_header(request, "Retry-After", "1");
    }
    json_write_member_text(json, "timestamp", request_timestamp(request));
    json_write_object_end(json);
}

/* Error texts tell about the inside, so only an administrator sees them. */
static void write_check(const struct request *request, struct json_writer *json,
                        const struct service *service, const struct probe_result *result)
{
    bool is_skipped = service->kind == SERVICE_NOT_CONFIGURED;
    json_write_member_text(json, "status",
                           is_skipped           ? "skipped"
                           : result->is_healthy ? "healthy"
                                                : "unhealthy");
    if (is_skipped) {
        return;
    }
    json_write_member_double(json, "latency_ms",
                             (double)(int64_t)(result->latency_milliseconds * 1000.0) / 1000.0);
    if (!result->is_healthy && request->principal.is_superuser) {
        json_write_member_text(json, "error", result->message);
    }
}

void report_all(struct request *request)
{
    const struct service_list *list = &health_of(request->app)->services;
    const struct service *services[SERVICE_MAXIMUM];
    struct probe_result results[SERVICE_MAXIMUM];
    for (size_t i = 0; i < list->count; i++) {
        services[i] = &list->items[i];
    }
    if (!check(request, services, list->count, false, results)) {
        return;
    }
    const char *overall = "healthy";
    for (size_t i = 0; i < list->count; i++) {
        if (services[i]->kind == SERVICE_NOT_CONFIGURED || results[i].is_healthy) {
            continue;
        }
        if (services[i]->is_required) {
            overall = "unhealthy";
        } else if (strcmp(overall, "healthy") == 0) {
            overall = "degraded";
        }
    }
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_member_text(json, "status", overall);
    json_write_name(json, "checks");
    json_write_object_begin(json);
    for (size_t i = 0; i < list->count; i++) {
        json_write_name(json, services[i]->name);
        json_write_object_begin(json);
        write_check(request, json, services[i], &results[i]);
        json_write_object_end(json);
    }
    json_write_object_end(json);
    json_write_member_text(json, "timestamp", request_timestamp(request));
    json_write_object_end(json);
}

const struct service *report_find(struct request *request)
{
    const struct service *service =
        services_find(request->app, request_path_value(request, "service"));
    if (service == NULL) {
        problem_answer(request, PROBLEM_NOT_FOUND, "Unknown service");
    }
    return service;
}

void report_service(struct request *request)
{
    const struct service *service = report_find(request);
    if (service == NULL) {
        return;
    }
    struct probe_result result;
    if (!check(request, &service, 1, false, &result)) {
        return;
    }
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_member_text(json, "service", service->name);
    write_check(request, json, service, &result);
    json_write_member_text(json, "timestamp", request_timestamp(request));
    json_write_object_end(json);
}

void report_retest(struct request *request)
{
    const struct service *service = report_find(request);
    if (service == NULL) {
        return;
    }
    if (service->kind == SERVICE_NOT_CONFIGURED) {
        problem_answer(request, PROBLEM_NOT_FOUND, "This service is not configured");
        return;
    }
    struct probe_result result;
    if (!check(request, &service, 1, true, &result)) {
        return;
    }
    struct json_writer *json = response_json(request, 200);
    json_write_object_begin(json);
    json_write_member_boolean(json, "success", result.is_healthy);
    json_write_member_double(json, "latency",
                             (double)(int64_t)(result.latency_milliseconds * 1000.0) / 1000.0);
    json_write_member_text(json, "message", result.is_healthy ? "Service answers" : result.message);
    json_write_object_end(json);
}
