/*
 * auth/routes: the auth program, but for its main(): its routes and how it starts. In a header so
 * that tests of the handlers run the same.
 */
#ifndef AUTH_ROUTES_H
#define AUTH_ROUTES_H

#include "auth.h"

static const struct route auth_routes[] = {
    {HTTP_POST, "/auth/register", auth_register, FAMILY_AUTH, ACCESS_PUBLIC, BODY_JSON, 0},
    {HTTP_POST, "/auth/login", auth_login, FAMILY_AUTH, ACCESS_PUBLIC, BODY_JSON, 0},
    {HTTP_POST, "/auth/refresh", auth_refresh, FAMILY_AUTH, ACCESS_PUBLIC, BODY_JSON, 0},
    {HTTP_POST, "/auth/validate", auth_validate, FAMILY_AUTH, ACCESS_PUBLIC, BODY_JSON,
     ROUTE_READS},
    {HTTP_POST, "/auth/logout", auth_logout, FAMILY_AUTH, ACCESS_PRINCIPAL, BODY_JSON_OPTIONAL,
     ROUTE_ONE_TIME},
    {HTTP_GET, "/auth/me", auth_show_me, FAMILY_AUTH, ACCESS_PRINCIPAL, BODY_NONE, ROUTE_ONE_TIME},
    {HTTP_PATCH, "/auth/me", auth_update_me, FAMILY_AUTH, ACCESS_PRINCIPAL, BODY_JSON, 0},
    {HTTP_POST, "/auth/change-password", auth_change_password, FAMILY_AUTH, ACCESS_PRINCIPAL,
     BODY_JSON, ROUTE_ONE_TIME},
    {HTTP_GET, "/auth/sessions", auth_list_sessions, FAMILY_AUTH, ACCESS_PRINCIPAL, BODY_NONE,
     ROUTE_LIST},
    {HTTP_DELETE, "/auth/sessions/{id}", auth_revoke_session, FAMILY_AUTH, ACCESS_PRINCIPAL,
     BODY_NONE, 0},
    {HTTP_GET, "/auth/api-keys", auth_list_api_keys, FAMILY_AUTH, ACCESS_PRINCIPAL, BODY_NONE,
     ROUTE_LIST},
    {HTTP_POST, "/auth/api-keys", auth_create_api_key, FAMILY_AUTH, ACCESS_PRINCIPAL, BODY_JSON, 0},
    {HTTP_DELETE, "/auth/api-keys/{id}", auth_revoke_api_key, FAMILY_AUTH, ACCESS_PRINCIPAL,
     BODY_NONE, 0},
};

static const struct app_options auth_options = {
    .program = "auth",
    .routes = auth_routes,
    .route_count = sizeof auth_routes / sizeof auth_routes[0],
    .uses_storage = true,
    .start = auth_start,
    .background = auth_sweep,
    .stop = auth_stop,
};

#endif
