/*
 * auth/token: issuing and verifying access tokens.
 *
 * Layout (RFC 7515, 7.1): base64url(header) "." base64url(payload) "." base64url(HMAC-SHA-256 of
 * all before the second dot). The signature is checked before a byte of JSON is looked at, with
 * the one algorithm this key is for, so what the header says of algorithms can only be right or
 * wrong, never chosen by the sender.
 *
 * Both signature and claims are a few lines over libcrypto and json/, because libjwt 1.10 does not
 * pass the table of RFC 8725 in tests/unit: it ignores crit and takes duplicate members.
 */
#include "auth/token.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "auth/digest.h"
#include "auth/libcrypto.h"
#include "base/memory.h"
#include "json/json.h"
#include "json/write.h"

#define SECRET_LENGTH_MINIMUM 32
#define SIGNATURE_SIZE        32
#define SIGNATURE_LENGTH      43 /* in base64url */
#define KEY_ID_LENGTH_MAXIMUM 128
#define DATE_MAXIMUM          9007199254740992.0 /* 2^53 */

/* The header of every token we issue: {"alg":"HS256","typ":"at+jwt"} */
#define OUR_HEADER "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9"

/* libcrypto takes longer to start than a CGI run without a token takes at all, so the key is prepared
 * when the first token comes. */
struct token_keys {
    pthread_mutex_t lock;            /* of preparing */
    _Atomic(EVP_MAC_CTX *) prepared; /* NULL until then; only ever duplicated */
    char *secret;
    size_t secret_length;
    const char *purpose; /* for which the key is derived; NULL: the secret is the key */
    char *issuer;
    char *audience;
};

static enum status create(struct token_keys **out, struct slice secret, const char *purpose,
                          const char *issuer, const char *audience)
{
    *out = NULL;
    if (issuer[0] == '\0' || audience[0] == '\0') {
        return STATUS_INVALID;
    }
    struct token_keys *keys = memory_allocate(sizeof(*keys));
    if (keys == NULL) {
        return STATUS_NO_MEMORY;
    }
    pthread_mutex_init(&keys->lock, NULL);
    keys->purpose = purpose;
    keys->secret_length = secret.length;
    keys->secret = memory_copy_text(secret.data, secret.length);
    keys->issuer = memory_copy_text(issuer, strlen(issuer));
    keys->audience = memory_copy_text(audience, strlen(audience));
    if (keys->secret == NULL || keys->issuer == NULL || keys->audience == NULL) {
        token_keys_release(keys);
        return STATUS_NO_MEMORY;
    }
    *out = keys;
    return STATUS_OK;
}

enum status token_keys_create(struct token_keys **out, struct slice secret, const char *issuer,
                              const char *audience)
{
    *out = NULL;
    return secret.length < SECRET_LENGTH_MINIMUM ? STATUS_INVALID
                                                 : create(out, secret, NULL, issuer, audience);
}

enum status token_keys_derive(struct token_keys **out, struct slice secret, const char *purpose,
                              const char *issuer, const char *audience)
{
    return create(out, secret, purpose, issuer, audience);
}

void token_keys_release(struct token_keys *keys)
{
    if (keys == NULL) {
        return;
    }
    EVP_MAC_CTX *prepared = atomic_load(&keys->prepared);
    if (prepared != NULL) {
        libcrypto()->EVP_MAC_CTX_free(prepared); /* wipes its key */
    }
    if (keys->secret != NULL) {
        memory_wipe(keys->secret, keys->secret_length);
    }
    memory_release(keys->secret);
    memory_release(keys->issuer);
    memory_release(keys->audience);
    pthread_mutex_destroy(&keys->lock);
    memory_release(keys);
}

static EVP_MAC_CTX *make_context(struct token_keys *keys)
{
    struct slice key = {.data = keys->secret, .length = keys->secret_length};
    unsigned char derived[DIGEST_SIZE];
    if (keys->purpose != NULL) {
        if (digest_derive(key, keys->purpose, derived) != STATUS_OK) {
            return NULL;
        }
        key = (struct slice){.data = (const char *)derived, .length = sizeof(derived)};
    }
    char digest[] = "SHA256";
    const OSSL_PARAM parameters[] = {
        libcrypto()->OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        libcrypto()->OSSL_PARAM_construct_end(),
    };
    EVP_MAC *hmac = libcrypto()->EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = hmac == NULL ? NULL : libcrypto()->EVP_MAC_CTX_new(hmac);
    if (context != NULL && libcrypto()->EVP_MAC_init(context, (const unsigned char *)key.data,
                                                     key.length, parameters) != 1) {
        libcrypto()->EVP_MAC_CTX_free(context);
        context = NULL;
    }
    libcrypto()->EVP_MAC_free(hmac);
    memory_wipe(derived, sizeof(derived));
    return context;
}

/* Without memory the next token tries again. */
static enum status prepare(struct token_keys *keys, EVP_MAC_CTX **out)
{
    *out = atomic_load_explicit(&keys->prepared, memory_order_acquire);
    if (*out != NULL) {
        return STATUS_OK;
    }
    enum status status = libcrypto_load();
    if (status != STATUS_OK) {
        return status;
    }
    pthread_mutex_lock(&keys->lock);
    *out = atomic_load_explicit(&keys->prepared, memory_order_relaxed);
    if (*out == NULL) {
        *out = make_context(keys);
        atomic_store_explicit(&keys->prepared, *out, memory_order_release);
    }
    pthread_mutex_unlock(&keys->lock);
    return *out != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

/* A copy of the prepared context has the key already hashed in: no fetch, no key schedule. */
static enum status sign(struct token_keys *keys, struct slice text,
                        unsigned char out[SIGNATURE_SIZE])
{
    EVP_MAC_CTX *prepared;
    enum status status = prepare(keys, &prepared);
    if (status != STATUS_OK) {
        return status;
    }
    EVP_MAC_CTX *context = libcrypto()->EVP_MAC_CTX_dup(prepared);
    if (context == NULL) {
        return STATUS_NO_MEMORY;
    }
    size_t length;
    bool ok =
        libcrypto()->EVP_MAC_update(context, (const unsigned char *)text.data, text.length) == 1 &&
        libcrypto()->EVP_MAC_final(context, out, &length, SIGNATURE_SIZE) == 1;
    libcrypto()->EVP_MAC_CTX_free(context);
    return ok ? STATUS_OK : STATUS_NO_MEMORY;
}

/* --- Issuing ------------------------------------------------------------------------------ */

static void write_claims(struct buffer *out, struct token_keys *keys,
                         const struct token_claims *claims)
{
    struct json_writer writer;
    json_write_start(&writer, out);
    json_write_object_begin(&writer);
    json_write_member_text(&writer, "iss", keys->issuer);
    json_write_member_text(&writer, "aud", keys->audience);
    json_write_member_text(&writer, "sub", claims->subject);
    json_write_member_integer(&writer, "iat", claims->issued_at);
    json_write_member_integer(&writer, "exp", claims->expires_at);
    json_write_member_text(&writer, "jti", claims->token_id);
    if (claims->session_id != NULL) {
        json_write_member_text(&writer, "sid", claims->session_id);
    }
    if (claims->company_id != NULL) {
        json_write_member_text(&writer, "company_id", claims->company_id);
    }
    if (claims->scope != NULL && claims->scope[0] != '\0') {
        json_write_member_text(&writer, "scope", claims->scope);
    }
    if (claims->has_chart_ids) {
        json_write_name(&writer, "chart_ids");
        json_write_array_begin(&writer);
        for (size_t i = 0; i < claims->chart_id_count; i++) {
            json_write_text(&writer, claims->chart_ids[i]);
        }
        json_write_array_end(&writer);
    }
    json_write_object_end(&writer);
}

enum status token_issue(struct token_keys *keys, struct arena *arena,
                        const struct token_claims *claims, const char **token)
{
    *token = NULL;
    if (claims->subject == NULL || claims->subject[0] == '\0' || claims->token_id == NULL ||
        claims->token_id[0] == '\0') {
        return STATUS_INVALID;
    }
    struct buffer payload;
    buffer_init(&payload, TOKEN_LENGTH_MAXIMUM);
    write_claims(&payload, keys, claims);
    enum status status = buffer_status(&payload);
    if (status != STATUS_OK) {
        goto out;
    }
    size_t head = strlen(OUR_HEADER ".");
    char *text =
        arena_allocate(arena, head + (payload.length * 4 + 2) / 3 + 1 + SIGNATURE_LENGTH + 1);
    if (text == NULL) {
        status = STATUS_NO_MEMORY;
        goto out;
    }
    memcpy(text, OUR_HEADER ".", head);
    size_t length = head + text_encode_base64url(payload.data, payload.length, text + head);
    unsigned char signature[SIGNATURE_SIZE];
    status = sign(keys, (struct slice){.data = text, .length = length}, signature);
    if (status != STATUS_OK) {
        goto out;
    }
    text[length++] = '.';
    length += text_encode_base64url(signature, sizeof(signature), text + length);
    if (length > TOKEN_LENGTH_MAXIMUM) {
        status = STATUS_TOO_LARGE;
        goto out;
    }
    *token = text;
out:
    buffer_release(&payload);
    return status;
}

/* --- Verifying ---------------------------------------------------------------------------- */

struct token_parts {
    struct slice header;
    struct slice payload;
    struct slice signature;
    struct slice signed_text; /* header "." payload */
};

static enum status split_token(struct slice token, struct token_parts *out)
{
    struct slice rest = token;
    struct slice beyond;
    if (token.length == 0 || token.length > TOKEN_LENGTH_MAXIMUM ||
        !slice_split(&rest, '.', &out->header) || !slice_split(&rest, '.', &out->payload) ||
        !slice_split(&rest, '.', &out->signature) || slice_split(&rest, '.', &beyond)) {
        return STATUS_INVALID;
    }
    out->signed_text.data = token.data;
    out->signed_text.length = out->header.length + 1 + out->payload.length;
    return STATUS_OK;
}

static enum status check_signature(struct token_keys *keys, const struct token_parts *parts)
{
    unsigned char given[SIGNATURE_SIZE];
    unsigned char right[SIGNATURE_SIZE];
    size_t length = sizeof(given);
    if (parts->signature.length != SIGNATURE_LENGTH ||
        text_decode_base64url(parts->signature, given, &length) != STATUS_OK ||
        length != sizeof(given)) {
        return STATUS_INVALID;
    }
    enum status status = sign(keys, parts->signed_text, right);
    if (status != STATUS_OK) {
        return status;
    }
    return text_equals_in_constant_time(given, right, sizeof(right)) ? STATUS_OK : STATUS_INVALID;
}

/* Decodes and parses one part. What is no object has no members, and is refused for that. */
static enum status parse_part(struct arena *arena, struct slice part,
                              const struct json_node **object)
{
    size_t length = part.length * 3 / 4;
    char *text = arena_allocate(arena, length + 1);
    if (text == NULL) {
        return STATUS_NO_MEMORY;
    }
    enum status status = text_decode_base64url(part, text, &length);
    if (status != STATUS_OK) {
        return status;
    }
    status = json_parse(arena, (struct slice){.data = text, .length = length}, object);
    return status == STATUS_OK || status == STATUS_NO_MEMORY ? status : STATUS_INVALID;
}

static bool is_key_id(const char *text)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    size_t length = strlen(text);
    return length > 0 && length <= KEY_ID_LENGTH_MAXIMUM && strspn(text, allowed) == length;
}

/* RFC 7515, 4.1: parameters that would change what is verified or with which key are refused, the
 * rest is ignored as that RFC wants. */
static enum status check_header(struct arena *arena, struct slice part)
{
    static const char *const refused[] = {"crit", "b64", "jku", "jwk",      "x5u",
                                          "x5c",  "x5t", "enc", "x5t#S256", "zip"};
    if (slice_equals(part, OUR_HEADER)) {
        return STATUS_OK;
    }
    const struct json_node *header;
    enum status status = parse_part(arena, part, &header);
    if (status != STATUS_OK) {
        return status;
    }
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (json_member(header, refused[i]) != NULL) {
            return STATUS_INVALID;
        }
    }
    const char *algorithm = json_member_text(header, "alg", "");
    struct slice type = slice_of(json_member_text(header, "typ", ""));
    const struct json_node *key_id = json_member(header, "kid");
    const char *key_id_text;
    if (strcmp(algorithm, "HS256") != 0 ||
        (!slice_equals_ignoring_case(type, "at+jwt") &&
         !slice_equals_ignoring_case(type, "application/at+jwt")) ||
        (key_id != NULL && (!json_get_text(key_id, &key_id_text) || !is_key_id(key_id_text)))) {
        return STATUS_INVALID;
    }
    return STATUS_OK;
}

/* Absent leaves *out as it is; empty or of another kind is wrong. */
static bool read_optional_text(const struct json_node *payload, const char *name, const char **out)
{
    const struct json_node *node = json_member(payload, name);
    return node == NULL || (json_get_text(node, out) && (*out)[0] != '\0');
}

static bool has_audience(const struct json_node *payload, const char *audience)
{
    const struct json_node *node = json_member(payload, "aud");
    const char *text;
    if (json_get_text(node, &text)) {
        return strcmp(text, audience) == 0;
    }
    if (node == NULL || json_node_kind(node) != JSON_ARRAY) {
        return false;
    }
    bool is_ours = false;
    for (node = json_first(node); node != NULL; node = json_next(node)) {
        if (!json_get_text(node, &text)) {
            return false;
        }
        is_ours = is_ours || strcmp(text, audience) == 0;
    }
    return is_ours;
}

static enum status read_chart_ids(struct arena *arena, const struct json_node *payload,
                                  struct token_claims *claims)
{
    const struct json_node *node = json_member(payload, "chart_ids");
    if (node == NULL) {
        return STATUS_OK;
    }
    if (json_node_kind(node) != JSON_ARRAY) {
        return STATUS_INVALID;
    }
    size_t count = json_count(node);
    const char **ids = arena_allocate(arena, count * sizeof(ids[0]));
    if (ids == NULL) {
        return STATUS_NO_MEMORY;
    }
    claims->has_chart_ids = true;
    claims->chart_ids = ids;
    claims->chart_id_count = count;
    for (node = json_first(node); node != NULL; node = json_next(node)) {
        if (!json_get_text(node, ids++)) {
            return STATUS_INVALID;
        }
    }
    return STATUS_OK;
}

/* A NumericDate (RFC 7519, section 2): seconds since 1970, which may have a fraction. That is cut, so
 * no token lives longer than it says. */
static bool read_date(const struct json_node *node, int64_t *out)
{
    double seconds = 0;
    if (json_get_integer(node, out)) {
        return *out >= 0;
    }
    if (!json_get_double(node, &seconds) || !(seconds >= 0 && seconds < DATE_MAXIMUM)) {
        return false;
    }
    *out = (int64_t)seconds;
    return true;
}

/* STATUS_EXPIRED only for a token that has nothing else wrong. */
static enum status check_times(const struct json_node *payload, int64_t now,
                               struct token_claims *claims)
{
    int64_t not_before = 0;
    const struct json_node *node = json_member(payload, "nbf");
    if (!read_date(json_member(payload, "iat"), &claims->issued_at) ||
        !read_date(json_member(payload, "exp"), &claims->expires_at) ||
        (node != NULL && !read_date(node, &not_before)) ||
        claims->issued_at > now + TOKEN_LEEWAY_SECONDS || not_before > now + TOKEN_LEEWAY_SECONDS) {
        return STATUS_INVALID;
    }
    return now >= claims->expires_at + TOKEN_LEEWAY_SECONDS ? STATUS_EXPIRED : STATUS_OK;
}

enum status token_verify(struct token_keys *keys, struct arena *arena, struct slice token,
                         int64_t now, struct token_claims *claims)
{
    *claims = (struct token_claims){.scope = ""};
    struct token_parts parts;
    const struct json_node *payload;
    enum status status = split_token(token, &parts);
    if (status == STATUS_OK) {
        status = check_signature(keys, &parts);
    }
    if (status == STATUS_OK) {
        status = check_header(arena, parts.header);
    }
    if (status == STATUS_OK) {
        status = parse_part(arena, parts.payload, &payload);
    }
    if (status != STATUS_OK) {
        return status;
    }
    const char *issuer = json_member_text(payload, "iss", "");
    const struct json_node *scope = json_member(payload, "scope");
    if (strcmp(issuer, keys->issuer) != 0 || !has_audience(payload, keys->audience) ||
        !read_optional_text(payload, "sub", &claims->subject) || claims->subject == NULL ||
        !read_optional_text(payload, "jti", &claims->token_id) || claims->token_id == NULL ||
        !read_optional_text(payload, "sid", &claims->session_id) ||
        !read_optional_text(payload, "company_id", &claims->company_id) ||
        (scope != NULL && !json_get_text(scope, &claims->scope))) {
        return STATUS_INVALID;
    }
    status = read_chart_ids(arena, payload, claims);
    return status == STATUS_OK ? check_times(payload, now, claims) : status;
}
