/*
 * cli/config_pages: pages made from the table of settings and nothing else, the same on every
 * machine: docs/quintet.conf.sample and docs/settings.md.
 */
#ifndef CLI_CONFIG_PAGES_H
#define CLI_CONFIG_PAGES_H

#include "base/buffer.h"

/* Failures stick in the buffer. */
void config_append_sample(struct buffer *out);
void config_append_markdown(struct buffer *out);

#endif
