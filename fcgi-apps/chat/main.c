/*
 * chat.fcgi: completions in OpenAI's format, and chat sessions.
 */
#include "routes.h"

int main(int argc, char **argv)
{
    static const struct app_options options = {
        .program = "chat",
        .routes = chat_routes,
        .route_count = sizeof chat_routes / sizeof chat_routes[0],
        .uses_storage = true,
        .start = chat_start,
        .background = chat_background,
        .stop = chat_stop,
    };
    return app_run(&options, argc, argv);
}
