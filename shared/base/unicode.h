/*
 * base/unicode: the normal forms of texts that must compare equal when people see the same.
 *
 * The only place that includes utf8proc.h (libutf8proc: one small library without tables to load at
 * start; ICU costs a CGI start 30 MB of data, libunistring knows no default-ignorable characters in
 * its normalisers). No memory is allocated.
 */
#ifndef BASE_UNICODE_H
#define BASE_UNICODE_H

#include <stddef.h>

#include "base/status.h"
#include "base/text.h"

/* Bytes of a text before and after. */
#define UNICODE_TEXT_MAXIMUM 1024

/* NFC (Unicode Standard Annex 15). `out` ends with a NUL; *length is without it. STATUS_INVALID: not
 * UTF-8; STATUS_TOO_LARGE: longer than UNICODE_TEXT_MAXIMUM before or after. */
enum status unicode_compose(struct slice text, char out[UNICODE_TEXT_MAXIMUM + 1],
                            size_t *length) MUST_CHECK;

/* NFKC and full case folding until nothing changes any more, for names. STATUS_INVALID: not UTF-8,
 * or it holds what nobody sees or what has no fixed meaning: control and format characters,
 * separators, default-ignorable characters (Unicode section 5.21), private and unassigned ones. */
enum status unicode_fold_name(struct slice text, char out[UNICODE_TEXT_MAXIMUM + 1],
                              size_t *length) MUST_CHECK;

#endif
