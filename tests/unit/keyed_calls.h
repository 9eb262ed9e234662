/*
 * tests/unit/keyed_calls: requests as the owner of the plain API key makes them.
 */
#ifndef TESTS_KEYED_CALLS_H
#define TESTS_KEYED_CALLS_H

#include "pipeline_help.h"

#define KEY             .key = PLAIN_KEY
#define GET(at)         CALL(.path = (at), KEY)
#define ASK(at, q)      CALL(.path = (at), .query = (q), KEY)
#define POST(at, body)  CALL(.method = "POST", .path = (at), .json = (body), KEY)
#define PATCH(at, body) CALL(.method = "PATCH", .path = (at), .json = (body), KEY)
#define PUT(at, body)   CALL(.method = "PUT", .path = (at), .json = (body), KEY)
#define DELETE(at)      CALL(.method = "DELETE", .path = (at), KEY)

#endif
