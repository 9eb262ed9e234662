/*
 * charts: the program that keeps charts and their points.
 */
#include "routes.h"

int main(int argc, char **argv)
{
    return app_run(&charts_options, argc, argv);
}
