/*
 * auth/password: argon2 by libargon2, PHC strings by hand.
 *
 * Layout of a PHC string: $argon2id$v=19$m=19456,t=2,p=1$salt$hash, the last two in base64 without
 * padding. It is read here and not by the library, because the library neither tells the
 * parameters (needed to see whether a hash is outdated) nor bounds them (a hash that was imported
 * could ask for gigabytes).
 *
 * The work area comes straight from the kernel and goes back to it: malloc would keep 19 MiB for
 * every thread that ever hashed. Huge pages are asked for, since 4864 page faults would cost half
 * as much as the hash itself (32 ms instead of 23 were measured).
 */
#include "auth/password.h"

#include <argon2.h>
#include <string.h>
#include <sys/mman.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/unicode.h"
#include "segment/lease.h"

#define MEMORY_KIB  19456
#define ITERATIONS  2
#define LANES       1
#define SALT_SIZE   16
#define HASH_SIZE   32
#define LEASE_NAME  "password_hash"
#define PHC_MAXIMUM 256

_Static_assert(PASSWORD_LENGTH_MAXIMUM == UNICODE_TEXT_MAXIMUM,
               "what can be composed can be a password");

/* What an imported hash may cost: a dozen times ours. */
#define MEMORY_KIB_MAXIMUM 262144
#define ITERATIONS_MAXIMUM 16
#define LANES_MAXIMUM      16
#define WORK_MAXIMUM       524288 /* memory times iterations */
#define BYTES_MAXIMUM      64
#define SALT_MINIMUM       8
#define HASH_MINIMUM       16

/* Salt and hash are random: no password is known that gives this hash. */
static const char nobodys_hash[] = "$argon2id$v=19$m=19456,t=2,p=1$v6hEOq6jhRreOY1ltNwy2g"
                                   "$7HBppvjfAu7jjGZAQErTuhpYiH+xco6sF820nI5ytBc";

struct phc {
    argon2_type type;
    uint32_t version;
    uint32_t memory_kib;
    uint32_t iterations;
    uint32_t lanes;
    unsigned char salt[BYTES_MAXIMUM];
    size_t salt_length;
    unsigned char hash[BYTES_MAXIMUM];
    size_t hash_length;
};

/* --- PHC strings -------------------------------------------------------------------------- */

/* Plain base64 differs from the alphabet of base/text in two characters. */
static void swap_alphabet(char *text, const char *from, const char *to)
{
    for (; *text != '\0'; text++) {
        if (*text == from[0]) {
            *text = to[0];
        } else if (*text == from[1]) {
            *text = to[1];
        }
    }
}

static enum status decode_bytes(struct slice text, unsigned char *out, size_t minimum,
                                size_t *length)
{
    char copy[BYTES_MAXIMUM * 4 / 3 + 2];
    if (text.length >= sizeof(copy) || text.length * 3 / 4 > BYTES_MAXIMUM) {
        return STATUS_INVALID;
    }
    memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
    if (strpbrk(copy, "-_") != NULL) {
        return STATUS_INVALID;
    }
    swap_alphabet(copy, "+/", "-_");
    *length = BYTES_MAXIMUM;
    enum status status =
        text_decode_base64url((struct slice){.data = copy, .length = text.length}, out, length);
    return status == STATUS_OK && *length < minimum ? STATUS_INVALID : status;
}

/* "m=19456" with name 'm' */
static bool parse_parameter(struct slice *rest, char name, char separator, int64_t maximum,
                            uint32_t *out)
{
    struct slice part;
    int64_t number;
    if (!slice_split(rest, separator, &part) || part.length < 3 || part.data[0] != name ||
        part.data[1] != '=') {
        return false;
    }
    part.data += 2;
    part.length -= 2;
    if (text_parse_integer(part, &number) != STATUS_OK || number < 1 || number > maximum) {
        return false;
    }
    *out = (uint32_t)number;
    return true;
}

static bool parse_type(struct slice text, argon2_type *out)
{
    static const struct {
        const char *name;
        argon2_type type;
    } types[] = {{"argon2id", Argon2_id}, {"argon2i", Argon2_i}, {"argon2d", Argon2_d}};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (slice_equals(text, types[i].name)) {
            *out = types[i].type;
            return true;
        }
    }
    return false;
}

static enum status parse_phc(const char *text, struct phc *out)
{
    struct slice rest = slice_of(text);
    struct slice part;
    *out = (struct phc){.version = ARGON2_VERSION_10};
    if (rest.length > PHC_MAXIMUM || !slice_split(&rest, '$', &part) || part.length != 0 ||
        !slice_split(&rest, '$', &part) || !parse_type(part, &out->type)) {
        return STATUS_INVALID;
    }
    /* Strings of before version 19 do not tell it. */
    if (slice_starts_with(rest, "v=") &&
        (!parse_parameter(&rest, 'v', '$', ARGON2_VERSION_13, &out->version) ||
         (out->version != ARGON2_VERSION_10 && out->version != ARGON2_VERSION_13))) {
        return STATUS_INVALID;
    }
    if (!parse_parameter(&rest, 'm', ',', MEMORY_KIB_MAXIMUM, &out->memory_kib) ||
        !parse_parameter(&rest, 't', ',', ITERATIONS_MAXIMUM, &out->iterations) ||
        !parse_parameter(&rest, 'p', '$', LANES_MAXIMUM, &out->lanes)) {
        return STATUS_INVALID;
    }
    if (out->memory_kib < 8 * out->lanes || out->memory_kib * out->iterations > WORK_MAXIMUM ||
        !slice_split(&rest, '$', &part) ||
        decode_bytes(part, out->salt, SALT_MINIMUM, &out->salt_length) != STATUS_OK ||
        !slice_split(&rest, '$', &part) ||
        decode_bytes(part, out->hash, HASH_MINIMUM, &out->hash_length) != STATUS_OK ||
        slice_split(&rest, '$', &part)) {
        return STATUS_INVALID;
    }
    return STATUS_OK;
}

static const char *write_phc(struct arena *arena, const struct phc *phc)
{
    char salt[BYTES_MAXIMUM * 4 / 3 + 2];
    char hash[BYTES_MAXIMUM * 4 / 3 + 2];
    text_encode_base64url(phc->salt, phc->salt_length, salt);
    text_encode_base64url(phc->hash, phc->hash_length, hash);
    swap_alphabet(salt, "-_", "+/");
    swap_alphabet(hash, "-_", "+/");
    return arena_format(arena, "$argon2id$v=%u$m=%u,t=%u,p=%u$%s$%s", phc->version, phc->memory_kib,
                        phc->iterations, phc->lanes, salt, hash);
}

/* --- The hash ----------------------------------------------------------------------------- */

static int take_area(uint8_t **memory, size_t size)
{
    void *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED) {
        return ARGON2_MEMORY_ALLOCATION_ERROR;
    }
    (void)madvise(area, size, MADV_HUGEPAGE);
    *memory = area;
    return ARGON2_OK;
}

static void return_area(uint8_t *memory, size_t size)
{
    munmap(memory, size);
}

/* Computes with the type, parameters and salt of `phc`; `out` has room for phc->hash_length. */
static enum status compute(const struct phc *phc, struct slice password, unsigned char *out)
{
    argon2_context context = {
        .out = out,
        .outlen = (uint32_t)phc->hash_length,
        /* Not written to: that needs a flag. */
        .pwd = (uint8_t *)(uintptr_t)password.data,
        .pwdlen = (uint32_t)password.length,
        .salt = (uint8_t *)(uintptr_t)phc->salt,
        .saltlen = (uint32_t)phc->salt_length,
        .t_cost = phc->iterations,
        .m_cost = phc->memory_kib,
        .lanes = phc->lanes,
        .threads = 1, /* lanes may run one after the other; the result is the same */
        .version = phc->version,
        .allocate_cbk = take_area,
        .free_cbk = return_area,
        .flags = ARGON2_DEFAULT_FLAGS,
    };
    switch (argon2_ctx(&context, phc->type)) {
    case ARGON2_OK:
        return STATUS_OK;
    case ARGON2_MEMORY_ALLOCATION_ERROR:
        return STATUS_NO_MEMORY;
    default:
        return STATUS_INTERNAL;
    }
}

static enum status compute_in_place(const struct password_hasher *hasher, const struct phc *phc,
                                    struct slice password, unsigned char *out)
{
    if (hasher->segment == NULL) {
        return compute(phc, password, out);
    }
    unsigned place;
    enum status status = lease_take_place(hasher->segment, LEASE_NAME, hasher->concurrency,
                                          hasher->timeout_milliseconds, &place);
    if (status != STATUS_OK) {
        return status == STATUS_TIMEOUT ? STATUS_BUSY : status;
    }
    status = compute(phc, password, out);
    lease_return_place(hasher->segment, LEASE_NAME, place);
    return status;
}

static bool enter(struct password_room *room)
{
    if (atomic_fetch_add(&room->inside, 1) < room->maximum) {
        return true;
    }
    atomic_fetch_sub(&room->inside, 1);
    return false;
}

static enum status compute_in_turn(const struct password_hasher *hasher, const struct phc *phc,
                                   struct slice password, unsigned char *out)
{
    if (hasher->room == NULL) {
        return compute_in_place(hasher, phc, password, out);
    }
    if (!enter(hasher->room)) {
        return STATUS_BUSY;
    }
    enum status status = compute_in_place(hasher, phc, password, out);
    atomic_fetch_sub(&hasher->room->inside, 1);
    return status;
}

enum status password_hash(const struct password_hasher *hasher, struct arena *arena,
                          struct slice password, const char **hash)
{
    char composed[UNICODE_TEXT_MAXIMUM + 1];
    size_t length = 0;
    *hash = NULL;
    if (unicode_compose(password, composed, &length) != STATUS_OK ||
        length < PASSWORD_LENGTH_MINIMUM) {
        memory_wipe(composed, sizeof(composed));
        return STATUS_INVALID;
    }
    struct phc phc = {
        .type = Argon2_id,
        .version = ARGON2_VERSION_13,
        .memory_kib = MEMORY_KIB,
        .iterations = ITERATIONS,
        .lanes = LANES,
        .salt_length = SALT_SIZE,
        .hash_length = HASH_SIZE,
    };
    random_bytes(phc.salt, phc.salt_length);
    enum status status = compute_in_turn(hasher, &phc, (struct slice){composed, length}, phc.hash);
    if (status == STATUS_OK) {
        *hash = write_phc(arena, &phc);
        status = *hash == NULL ? STATUS_NO_MEMORY : STATUS_OK;
    }
    memory_wipe(&phc, sizeof(phc));
    memory_wipe(composed, sizeof(composed));
    return status;
}

enum status password_verify(const struct password_hasher *hasher, const char *hash,
                            struct slice password, bool *outdated)
{
    *outdated = false;
    struct phc phc;
    enum status status = parse_phc(hash != NULL ? hash : nobodys_hash, &phc);
    if (status != STATUS_OK) {
        return status;
    }
    char composed[UNICODE_TEXT_MAXIMUM + 1];
    size_t length = 0;
    if (unicode_compose(password, composed, &length) != STATUS_OK) {
        return STATUS_DENIED; /* at once, for known and unknown users alike */
    }
    unsigned char computed[BYTES_MAXIMUM];
    status = compute_in_turn(hasher, &phc, (struct slice){composed, length}, computed);
    if (status == STATUS_OK) {
        bool is_right = text_equals_in_constant_time(computed, phc.hash, phc.hash_length);
        status = is_right && hash != NULL ? STATUS_OK : STATUS_DENIED;
        *outdated = phc.type != Argon2_id || phc.version != ARGON2_VERSION_13 ||
                    phc.memory_kib < MEMORY_KIB || phc.iterations < ITERATIONS ||
                    phc.hash_length < HASH_SIZE || phc.salt_length < SALT_SIZE;
    }
    memory_wipe(computed, sizeof(computed));
    memory_wipe(composed, sizeof(composed));
    memory_wipe(&phc, sizeof(phc));
    return status;
}
