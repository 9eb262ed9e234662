/*
 * auth: the program that logs people in and gives programs their keys.
 */
#include "routes.h"

int main(int argc, char **argv)
{
    return app_run(&auth_options, argc, argv);
}
