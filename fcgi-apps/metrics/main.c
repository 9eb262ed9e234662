/*
 * metrics: the program that Prometheus scrapes.
 */
#include "routes.h"

int main(int argc, char **argv)
{
    return app_run(&metrics_options, argc, argv);
}
