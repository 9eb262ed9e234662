/*
 * chat/routes: the chat program, but for its main(): its routes and how it starts. In a header so
 * that tests of the handlers run the same.
 */
#ifndef CHAT_ROUTES_H
#define CHAT_ROUTES_H

#include "chat.h"

static const struct route chat_routes[] = {
    {HTTP_POST, "/v1/chat/completions", completions_create, FAMILY_CHAT, ACCESS_PRINCIPAL,
     BODY_JSON_TEXT, ROUTE_OPENAI | ROUTE_READS},
    {HTTP_GET, "/v1/models", models_list, FAMILY_CHAT, ACCESS_PRINCIPAL, BODY_NONE, ROUTE_OPENAI},
    {HTTP_GET, "/v1/models/{model}", models_show, FAMILY_CHAT, ACCESS_PRINCIPAL, BODY_NONE,
     ROUTE_OPENAI},
    {HTTP_GET, "/v1/models/{provider}/{model}", models_show, FAMILY_CHAT, ACCESS_PRINCIPAL,
     BODY_NONE, ROUTE_OPENAI},
    {HTTP_GET, "/v1/models/{provider}/{maker}/{model}", models_show, FAMILY_CHAT, ACCESS_PRINCIPAL,
     BODY_NONE, ROUTE_OPENAI},
    {HTTP_POST, "/chat", session_chat, FAMILY_CHAT, ACCESS_PRINCIPAL, BODY_JSON, 0},
    {HTTP_POST, "/chat/stream", session_chat_stream, FAMILY_CHAT, ACCESS_PRINCIPAL, BODY_JSON, 0},
    {HTTP_GET, "/chat/models", models_describe, FAMILY_CHAT, ACCESS_PRINCIPAL, BODY_NONE, 0},
    {HTTP_GET, "/chat/sessions", sessions_list, FAMILY_CHAT, ACCESS_PRINCIPAL, BODY_NONE,
     ROUTE_LIST},
    {HTTP_GET, "/chat/sessions/{id}", sessions_show, FAMILY_CHAT, ACCESS_PRINCIPAL, BODY_NONE, 0},
    {HTTP_DELETE, "/chat/sessions/{id}", sessions_delete, FAMILY_CHAT, ACCESS_PRINCIPAL, BODY_NONE,
     0},
    {HTTP_POST, "/chat/sessions/{id}/clear", sessions_clear, FAMILY_CHAT, ACCESS_PRINCIPAL,
     BODY_NONE, 0},
    {HTTP_GET, "/chat/sessions/{id}/messages", sessions_messages, FAMILY_CHAT, ACCESS_PRINCIPAL,
     BODY_NONE, 0},
};

/* Not a list by pages: messages are walked from the newest one back, by `before`. */
#define CHAT_MESSAGES "/chat/sessions/{id}/messages"

static const struct unbuilt_parameter chat_unbuilt[] = {
    {CHAT_MESSAGES, "page"},
    {CHAT_MESSAGES, "page_size"},
};

static const struct app_options chat_options = {
    .program = "chat",
    .routes = chat_routes,
    .route_count = sizeof chat_routes / sizeof chat_routes[0],
    .unbuilt = chat_unbuilt,
    .unbuilt_count = sizeof chat_unbuilt / sizeof chat_unbuilt[0],
    .uses_storage = true,
    .start = chat_start,
    .background = chat_background,
    .stop = chat_stop,
};

#endif
