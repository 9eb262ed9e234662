/*
 * auth/names: the normal forms of e-mail addresses and usernames.
 *
 * Two names that people cannot tell apart are one: NFKC and case folding (base/unicode), and
 * invisible characters are refused. Everything that stores, finds or counts a name passes through
 * here first. Results are in the arena.
 */
#ifndef AUTH_NAMES_H
#define AUTH_NAMES_H

#include "base/arena.h"
#include "base/status.h"
#include "stores/lockout.h"

#define NAMES_EMAIL_MAXIMUM 254 /* bytes; RFC 5321 section 4.5.3.1.3, without the brackets */

/* STATUS_INVALID: no address that mail could be sent to. One '@'; no white space, control or
 * invisible characters, none that need quotes; a host name of two parts or more, none of them empty
 * or with a hyphen at an end (RFC 5321 section 4.1.2). */
enum status names_fold_email(struct arena *arena, const char *text, const char **out) MUST_CHECK;

/* STATUS_INVALID: not 3 to 64 of ACCOUNT_USERNAME_CHARACTERS. */
enum status names_fold_username(struct arena *arena, const char *text, const char **out) MUST_CHECK;

/* What somebody gives to be found by, an address or a username. What can be neither is kept as it
 * is: no account has it, and wrong passwords for it count all the same. */
enum status names_fold_login(struct arena *arena, const char *text, const char **out) MUST_CHECK;

/* The name that stores/lockout counts, of a normal form. */
enum status names_digest(const char *folded, unsigned char out[LOCKOUT_NAME_SIZE]) MUST_CHECK;

/* Both names of an account. */
#define NAMES_OF_ACCOUNT 2
struct account;
enum status names_digest_account(const struct account *account,
                                 unsigned char out[NAMES_OF_ACCOUNT][LOCKOUT_NAME_SIZE],
                                 size_t *count) MUST_CHECK;

#endif
