/*
 * charts/routes: the charts program, but for its main(): its routes and how it starts. In a header
 * so that tests of the handlers run the same.
 */
#ifndef CHARTS_ROUTES_H
#define CHARTS_ROUTES_H

#include "charts.h"

static const struct route charts_routes[] = {
    {HTTP_GET, "/api/charts", charts_list, FAMILY_CHARTS, ACCESS_PRINCIPAL, BODY_NONE, ROUTE_LIST},
    {HTTP_POST, "/api/charts/{chart_id}", charts_create, FAMILY_CHARTS, ACCESS_PRINCIPAL,
     BODY_JSON_OPTIONAL, 0},
    {HTTP_GET, "/api/charts/{chart_id}", charts_show, FAMILY_CHARTS, ACCESS_PRINCIPAL, BODY_NONE,
     0},
    {HTTP_PUT, "/api/charts/{chart_id}", charts_set_options, FAMILY_CHARTS, ACCESS_PRINCIPAL,
     BODY_JSON, 0},
    {HTTP_DELETE, "/api/charts/{chart_id}", charts_delete, FAMILY_CHARTS, ACCESS_PRINCIPAL,
     BODY_NONE, 0},
    {HTTP_POST, "/api/charts/{chart_id}/data/{series_id}", charts_replace_series, FAMILY_CHARTS,
     ACCESS_PRINCIPAL, BODY_JSON_TEXT, ROUTE_INGEST},
    {HTTP_PATCH, "/api/charts/{chart_id}/data/{series_id}", charts_extend_series, FAMILY_CHARTS,
     ACCESS_PRINCIPAL, BODY_JSON_TEXT, ROUTE_INGEST},
    {HTTP_GET, "/api/charts/{chart_id}/data/{pane_id}/{series_id}", charts_show_series,
     FAMILY_CHARTS, ACCESS_PRINCIPAL, BODY_NONE, 0},
    {HTTP_DELETE, "/api/charts/{chart_id}/data/{pane_id}/{series_id}", charts_delete_series,
     FAMILY_CHARTS, ACCESS_PRINCIPAL, BODY_NONE, 0},
    {HTTP_GET, "/api/charts/{chart_id}/history/{pane_id}/{series_id}", charts_show_history,
     FAMILY_HISTORY, ACCESS_PRINCIPAL, BODY_NONE, 0},
    {HTTP_POST, "/api/charts/{chart_id}/history", charts_query_history, FAMILY_HISTORY,
     ACCESS_PRINCIPAL, BODY_JSON, ROUTE_READS},
};

#define CHARTS_SERIES  "/api/charts/{chart_id}/data/{pane_id}/{series_id}"
#define CHARTS_HISTORY "/api/charts/{chart_id}/history/{pane_id}/{series_id}"
#define CHARTS_QUERY   "/api/charts/{chart_id}/history"

static const struct unbuilt_parameter charts_unbuilt[] = {
    {CHARTS_SERIES, "format"},      {CHARTS_SERIES, "resolution"},  {CHARTS_SERIES, "max_points"},
    {CHARTS_SERIES, "maxPoints"},   {CHARTS_SERIES, "method"},      {CHARTS_HISTORY, "format"},
    {CHARTS_HISTORY, "resolution"}, {CHARTS_HISTORY, "max_points"}, {CHARTS_HISTORY, "maxPoints"},
    {CHARTS_HISTORY, "method"},     {CHARTS_QUERY, "format"},       {CHARTS_QUERY, "resolution"},
    {CHARTS_QUERY, "max_points"},   {CHARTS_QUERY, "maxPoints"},    {CHARTS_QUERY, "method"},
};

static const struct app_options charts_options = {
    .program = "charts",
    .routes = charts_routes,
    .route_count = sizeof charts_routes / sizeof charts_routes[0],
    .unbuilt = charts_unbuilt,
    .unbuilt_count = sizeof charts_unbuilt / sizeof charts_unbuilt[0],
    .uses_storage = true,
    .uses_charts = true,
    .background = charts_expire,
};

#endif
