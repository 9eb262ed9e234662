/*
 * health: the program that says how the suite and what it leans on are doing.
 */
#include "routes.h"

int main(int argc, char **argv)
{
    return app_run(&health_options, argc, argv);
}
