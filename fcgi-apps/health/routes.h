/*
 * health/routes: the health program, but for its main(): its routes and how it starts. In a header
 * so that tests of the handlers run the same.
 */
#ifndef HEALTH_ROUTES_H
#define HEALTH_ROUTES_H

#include "health.h"

static const struct route health_routes[] = {
    {HTTP_GET, "/", report_index, FAMILY_DEFAULT, ACCESS_PUBLIC, BODY_NONE, 0},
    {HTTP_GET, "/health", report_live, FAMILY_HEALTH, ACCESS_PUBLIC, BODY_NONE, ROUTE_RATE_EXEMPT},
    {HTTP_GET, "/health/live", report_live, FAMILY_HEALTH, ACCESS_PUBLIC, BODY_NONE,
     ROUTE_RATE_EXEMPT},
    {HTTP_GET, "/health/ready", report_ready, FAMILY_HEALTH, ACCESS_PUBLIC, BODY_NONE,
     ROUTE_RATE_EXEMPT},
    {HTTP_GET, "/ready", report_ready, FAMILY_HEALTH, ACCESS_PUBLIC, BODY_NONE, ROUTE_RATE_EXEMPT},
    {HTTP_GET, "/health/all", report_all, FAMILY_HEALTH, ACCESS_OPTIONAL, BODY_NONE, 0},
    {HTTP_GET, "/health/cost-tracking", history_cost, FAMILY_HEALTH, ACCESS_PRINCIPAL, BODY_NONE,
     ROUTE_GUARDED},
    {HTTP_GET, "/health/{service}", report_service, FAMILY_HEALTH, ACCESS_OPTIONAL, BODY_NONE, 0},
    {HTTP_GET, "/health/{service}/status", report_service, FAMILY_HEALTH, ACCESS_OPTIONAL,
     BODY_NONE, 0},
    {HTTP_GET, "/health/latency-history/{service}", history_latency, FAMILY_HEALTH, ACCESS_OPTIONAL,
     BODY_NONE, 0},
    {HTTP_GET, "/health/service-errors/{service}", history_errors, FAMILY_HEALTH, ACCESS_OPTIONAL,
     BODY_NONE, 0},
    {HTTP_POST, "/health/retest/{service}", report_retest, FAMILY_HEALTH, ACCESS_ADMIN, BODY_NONE,
     0},
};

static const struct app_options health_options = {
    .program = "health",
    .routes = health_routes,
    .route_count = sizeof health_routes / sizeof health_routes[0],
    .uses_storage = true,
    .uses_charts = true,
    .start = health_start,
    .background = prober_tick,
    .stop = health_stop,
};

#endif
