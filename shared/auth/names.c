/*
 * auth/names: see the header.
 */
#include "auth/names.h"

#include <string.h>

#include "auth/digest.h"
#include "base/unicode.h"
#include "stores/accounts.h"

/* Parts between dots, none of them empty; those of a host name do not begin or end with a hyphen.
 * Returns how many, 0 when one is wrong. */
static size_t count_parts(struct slice text, bool is_host)
{
    size_t count = 0;
    struct slice part;
    while (slice_split(&text, '.', &part)) {
        if (part.length == 0 ||
            (is_host && (part.data[0] == '-' || part.data[part.length - 1] == '-'))) {
            return 0;
        }
        count++;
    }
    return count;
}

static bool is_email(const char *text, size_t length)
{
    const char *at = strchr(text, '@');
    if (at == NULL || strchr(at + 1, '@') != NULL || length > NAMES_EMAIL_MAXIMUM ||
        strpbrk(text, "<>(),;:\\\"[]") != NULL) {
        return false;
    }
    return count_parts((struct slice){text, (size_t)(at - text)}, false) > 0 &&
           count_parts(slice_of(at + 1), true) > 1;
}

static bool is_username(const char *text, size_t length)
{
    return length >= ACCOUNT_USERNAME_MINIMUM && length <= ACCOUNT_USERNAME_MAXIMUM &&
           strspn(text, ACCOUNT_USERNAME_CHARACTERS) == length;
}

static enum status fold(struct arena *arena, const char *text,
                        bool (*is_right)(const char *text, size_t length), const char **out)
{
    char folded[UNICODE_TEXT_MAXIMUM + 1];
    size_t length = 0;
    *out = NULL;
    if (unicode_fold_name(slice_of(text), folded, &length) != STATUS_OK ||
        !is_right(folded, length)) {
        return STATUS_INVALID;
    }
    *out = arena_copy(arena, folded, length);
    return *out == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

enum status names_fold_email(struct arena *arena, const char *text, const char **out)
{
    return fold(arena, text, is_email, out);
}

enum status names_fold_username(struct arena *arena, const char *text, const char **out)
{
    /* Only what is written in these letters: a fold of something else would surprise its owner. */
    *out = NULL;
    return is_username(text, strlen(text)) ? fold(arena, text, is_username, out) : STATUS_INVALID;
}

enum status names_fold_login(struct arena *arena, const char *text, const char **out)
{
    enum status status = strchr(text, '@') != NULL ? names_fold_email(arena, text, out)
                                                   : names_fold_username(arena, text, out);
    if (status == STATUS_INVALID) {
        *out = text;
        status = STATUS_OK;
    }
    return status;
}

enum status names_digest(const char *folded, unsigned char out[LOCKOUT_NAME_SIZE])
{
    return digest_sha256(slice_of(folded), out);
}

enum status names_digest_account(const struct account *account,
                                 unsigned char out[NAMES_OF_ACCOUNT][LOCKOUT_NAME_SIZE],
                                 size_t *count)
{
    enum status status = names_digest(account->email, out[0]);
    *count = 1;
    if (status == STATUS_OK && account->username != NULL) {
        status = names_digest(account->username, out[1]);
        *count = 2;
    }
    return status;
}
