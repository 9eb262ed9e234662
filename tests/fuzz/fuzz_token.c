/*
 * Any bytes as an access token. The first byte says how they are used:
 *   R  raw: the whole token as a stranger sends it; never genuine
 *   B  header.payload in base64url, to which the true signature is added
 *   J  header, newline, payload as JSON, which are encoded and signed
 * so that the fuzzer gets behind the signature. What is accepted must hold what was promised of
 * claims and must be accepted again when issued anew.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth/digest.h"
#include "auth/token.h"

#define NOW           1700000000
#define SECRET        "an HS256 key of at least 32 bytes"
#define INPUT_MAXIMUM 16384
#define ARENA_MAXIMUM ((size_t)8 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static struct slice add_signature(char *text, size_t length)
{
    unsigned char signature[DIGEST_SIZE];
    require(digest_hmac_sha256(slice_of(SECRET), (struct slice){.data = text, .length = length},
                               signature) == STATUS_OK);
    text[length++] = '.';
    length += text_encode_base64url(signature, sizeof(signature), text + length);
    return (struct slice){.data = text, .length = length};
}

static struct slice make_token(struct arena *arena, char kind, struct slice input)
{
    char *text = arena_allocate(arena, 2 * input.length + 100);
    require(text != NULL);
    if (kind == 'R') {
        return input;
    }
    if (kind == 'B') {
        if (input.length > 0) {
            memcpy(text, input.data, input.length);
        }
        return add_signature(text, input.length);
    }
    struct slice header;
    if (!slice_split(&input, '\n', &header)) {
        header = (struct slice){.data = "", .length = 0};
    }
    size_t length = text_encode_base64url(header.data, header.length, text);
    text[length++] = '.';
    length += text_encode_base64url(input.data, input.length, text + length);
    return add_signature(text, length);
}

static void check_claims(struct token_keys *keys, struct arena *arena,
                         const struct token_claims *claims)
{
    require(claims->subject != NULL && claims->subject[0] != '\0');
    require(claims->token_id != NULL && claims->token_id[0] != '\0');
    require(claims->session_id == NULL || claims->session_id[0] != '\0');
    require(claims->company_id == NULL || claims->company_id[0] != '\0');
    require(claims->scope != NULL);
    require(claims->issued_at >= 0 && claims->issued_at <= NOW + TOKEN_LEEWAY_SECONDS);
    require(claims->expires_at > NOW - TOKEN_LEEWAY_SECONDS);
    require(claims->has_chart_ids || claims->chart_id_count == 0);
    const char *text;
    struct token_claims again;
    enum status status = token_issue(keys, arena, claims, &text);
    if (status == STATUS_TOO_LARGE) {
        return; /* spelled shorter by whoever made it */
    }
    require(status == STATUS_OK);
    require(token_verify(keys, arena, slice_of(text), NOW, &again) == STATUS_OK);
    require(strcmp(again.subject, claims->subject) == 0);
    require(strcmp(again.token_id, claims->token_id) == 0);
    require(strcmp(again.scope, claims->scope) == 0);
    require(again.issued_at == claims->issued_at && again.expires_at == claims->expires_at);
    require(again.has_chart_ids == claims->has_chart_ids);
    require(again.chart_id_count == claims->chart_id_count);
    for (size_t i = 0; i < claims->chart_id_count; i++) {
        require(strcmp(again.chart_ids[i], claims->chart_ids[i]) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct token_keys *keys;
    if (keys == NULL) {
        require(token_keys_create(&keys, slice_of(SECRET), "us", "them") == STATUS_OK);
    }
    if (size == 0 || size > INPUT_MAXIMUM) {
        return 0;
    }
    struct arena arena;
    arena_init(&arena, ARENA_MAXIMUM);
    char kind = (char)data[0];
    struct slice input = {.data = (const char *)data + 1, .length = size - 1};
    struct slice token = make_token(&arena, kind, input);
    struct token_claims claims;
    enum status status = token_verify(keys, &arena, token, NOW, &claims);
    require(status == STATUS_OK || status == STATUS_INVALID || status == STATUS_EXPIRED);
    require(kind != 'R' || status == STATUS_INVALID);
    if (status == STATUS_OK) {
        check_claims(keys, &arena, &claims);
    }
    arena_destroy(&arena);
    return 0;
}
