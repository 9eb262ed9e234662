/*
 * http/router: which handler answers a method and a path.
 *
 * A program's routes are one constant table. Templates have literal segments and {name} segments
 * that match one non-empty segment; literal segments win over {name}. The same table answers under
 * every prefix of API_PREFIXES. The template is the `endpoint` label of metrics and logs.
 */
#ifndef HTTP_ROUTER_H
#define HTTP_ROUTER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/text.h"

struct request;

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_OTHER
};

/* Whose budget a request spends (RATE_LIMIT_<family>); each counts all its routes together. */
enum route_family {
    FAMILY_DEFAULT,
    FAMILY_AUTH,
    FAMILY_CHAT,
    FAMILY_CHARTS,
    FAMILY_HISTORY,
    FAMILY_HEALTH,
    FAMILY_COUNT
};

enum route_access {
    ACCESS_PUBLIC,    /* credentials are not looked at; the address pays */
    ACCESS_OPTIONAL,  /* wrong credentials are refused, none are fine */
    ACCESS_PRINCIPAL, /* credentials needed */
    ACCESS_ADMIN      /* and is_superuser */
};

enum route_body {
    BODY_NONE,          /* ignored */
    BODY_JSON,          /* application/json, an object; request->json is set */
    BODY_JSON_OPTIONAL, /* the same or nothing at all: then request->json is NULL */
    BODY_JSON_TEXT,     /* application/json, left unparsed: the handler scans request->body */
    BODY_RAW            /* the handler reads request->body */
};

enum route_flags {
    ROUTE_OPENAI = 1,      /* errors in OpenAI's shape */
    ROUTE_RATE_EXEMPT = 2, /* never counted by the rate limiter */
    ROUTE_INGEST = 4,      /* body up to MAX_INGEST_SIZE instead of MAX_BODY_SIZE */
    ROUTE_GUARDED = 8,     /* AUTH_BYPASS_PATHS does not open it (ACCESS_ADMIN never is) */
    ROUTE_ONE_TIME = 16,   /* open to a login by a one-time password, before it is changed */
    ROUTE_READS = 32,      /* waits for no write lock and no password's hash, whatever its method */
    ROUTE_LIST = 64        /* a list by page and page_size (http/fields); limit and so on are 400 */
};

typedef void route_handler(struct request *request);

struct route {
    enum http_method method; /* HTTP_GET answers HEAD as well */
    const char *template;    /* "/api/charts/{chart_id}/data/{series_id}"; {name} ≤ 8 per route */
    route_handler *handle;
    enum route_family family;
    enum route_access access;
    enum route_body body;
    unsigned flags;
};

#define ROUTE_PARAMETER_MAXIMUM 8

struct route_match {
    const struct route *route;                    /* NULL: none for this method */
    bool path_exists;                             /* some method answers here */
    unsigned allowed_methods;                     /* bits 1 << enum http_method */
    struct slice values[ROUTE_PARAMETER_MAXIMUM]; /* in template order */
    size_t value_count;
};

enum http_method http_method_of(struct slice text);
const char *http_method_text(enum http_method method);

/* `path` is decoded, without prefix and trailing slash. */
void router_match(const struct route *routes, size_t count, enum http_method method,
                  struct slice path, struct route_match *match);

/* "GET, HEAD, POST, OPTIONS" */
void router_describe_methods(unsigned allowed_methods, struct buffer *out);

#endif
