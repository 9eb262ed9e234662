/*
 * chat.fcgi: completions in OpenAI's format, and chat sessions.
 */
#include "routes.h"

int main(int argc, char **argv)
{
    return app_run(&chat_options, argc, argv);
}
