/*
 * chat/provider_error: see the header.
 */
#include "provider_error.h"

#include <string.h>
#include <strings.h>

#include "base/buffer.h"
#include "json/json.h"

#define WORD_MAXIMUM  64
#define PARAM_MAXIMUM 128

/* --- What words mean ------------------------------------------------------------------------- */

/* In small letters. */
static const char *const too_long[] = {
    "context_length",                     /* OpenAI, Groq: context_length_exceeded */
    "context length",                     /* OpenAI, vLLM, DeepSeek, OpenRouter, Ollama */
    "exceed_context_size",                /* llama.cpp */
    "context size",                       /* llama.cpp */
    "context window",                     /* llama-cpp-python, OpenAI */
    "context limit",                      /* Anthropic, with max_tokens */
    "maximum model length",               /* vLLM */
    "max_model_len",                      /* vLLM */
    "prompt is too long",                 /* Anthropic */
    "prompt too long",                    /* Ollama */
    "input is too long",                  /* Bedrock */
    "input token count",                  /* Gemini */
    "maximum number of tokens allowed",   /* Gemini */
    "string_above_max_length",            /* OpenAI */
    "`inputs` tokens + `max_new_tokens`", /* text-generation-inference */
    "too large for model",                /* Mistral */
    "reduce the length of the messages",  /* OpenAI, Groq */
};

static const char *const filtered[] = {"content_filter", "content_policy",
                                       "content management policy", "content moderation",
                                       "responsibleaipolicyviolation"};

static bool holds_any(const char *text, const char *const *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasestr(text, parts[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static void understand(const char *text, struct provider_error *out)
{
    if (text == NULL) {
        return;
    }
    /* A limit of tokens in a minute is none of a context. */
    bool is_of_time = strcasestr(text, "per minute") != NULL || strcasestr(text, "per day") != NULL;
    out->is_too_long =
        out->is_too_long ||
        (!is_of_time && holds_any(text, too_long, sizeof too_long / sizeof too_long[0]));
    out->is_filtered =
        out->is_filtered || holds_any(text, filtered, sizeof filtered / sizeof filtered[0]);
    out->refuses_stream_options = out->refuses_stream_options ||
                                  strcasestr(text, "stream_options") != NULL ||
                                  strcasestr(text, "include_usage") != NULL;
}

/* --- What a client may see of them ------------------------------------------------------------ */

static bool is_word_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '_' || byte == '-' || byte == '.' ||
           byte == '+' || byte == '/' || byte == '=' || byte == '*';
}

/* Beginnings of keys that providers give out. */
static bool has_key_prefix(struct slice word)
{
    static const char *const prefixes[] = {"sk-",   "sk_",  "pk-",  "rk-",  "key-",
                                           "qk_",   "gsk_", "AIza", "xai-", "hf_",
                                           "pplx-", "r8_",  "eyJ",  "org-", "proj_"};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        if (slice_starts_with(word, prefixes[i])) {
            return word.length > strlen(prefixes[i]) + 3;
        }
    }
    return false;
}

/* A long run of letters and digits mixed, which no word of a language is. */
static bool looks_like_key(struct slice word)
{
    size_t digits = 0;
    size_t letters = 0;
    size_t run = 0;
    size_t longest = 0;
    if (has_key_prefix(word)) {
        return true;
    }
    for (size_t i = 0; i < word.length; i++) {
        char byte = word.data[i];
        bool is_digit = byte >= '0' && byte <= '9';
        bool is_letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
        digits += is_digit;
        letters += is_letter;
        run = is_digit || is_letter ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest >= 20 && digits >= 3 && letters >= 3;
}

/* Length of an address (scheme and all) at the beginning; 0 = none. */
static size_t measure_url(struct slice text)
{
    static const char *const schemes[] = {"http://", "https://", "ws://", "wss://"};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t length = strlen(schemes[i]);
        if (text.length > length && strncasecmp(text.data, schemes[i], length) == 0) {
            while (length < text.length && (unsigned char)text.data[length] > ' ' &&
                   strchr("\"'<>)]}", text.data[length]) == NULL) {
                length++;
            }
            return length;
        }
    }
    return 0;
}

static size_t measure_word(struct slice text)
{
    size_t length = 0;
    while (length < text.length && is_word_byte(text.data[length])) {
        length++;
    }
    return length;
}

static void append_clean(struct buffer *out, struct slice text)
{
    static const char blank[] = "[…]";
    while (text.length > 0 && buffer_status(out) == STATUS_OK) {
        size_t url = measure_url(text);
        size_t word = url > 0 ? 0 : measure_word(text);
        size_t taken = url > 0 ? url : word;
        if (url > 0 || (word > 0 && looks_like_key((struct slice){text.data, word}))) {
            buffer_append_text(out, blank);
        } else if (word > 0) {
            buffer_append(out, text.data, word);
        } else {
            taken = text_measure_character(text.data, text.length);
            bool is_plain = taken > 1 || (taken == 1 && (unsigned char)text.data[0] >= ' ');
            buffer_append(out, is_plain ? text.data : " ", is_plain ? taken : 1);
            taken = taken > 0 ? taken : 1;
        }
        text.data += taken;
        text.length -= taken;
    }
}

/* Cuts between characters. */
static struct slice limit(struct slice text, size_t maximum)
{
    if (text.length > maximum) {
        size_t length = 0;
        size_t size;
        while ((size = text_measure_character(text.data + length, text.length - length)) > 0 &&
               length + size <= maximum) {
            length += size;
        }
        text.length = length;
    }
    return text;
}

static enum status make_clean(struct arena *arena, const char *text, const char **out)
{
    struct slice given = slice_trim(slice_of(text));
    struct buffer clean;
    if (given.length == 0) {
        return STATUS_OK;
    }
    buffer_init(&clean, 8 * PROVIDER_WORDS_MAXIMUM);
    append_clean(&clean, limit(given, PROVIDER_WORDS_MAXIMUM));
    enum status status = buffer_status(&clean);
    if (status == STATUS_OK) {
        *out = arena_copy(arena, clean.data, clean.length);
        status = *out == NULL ? STATUS_NO_MEMORY : STATUS_OK;
    }
    buffer_release(&clean);
    return status;
}

/* A short plain word, else NULL. */
static const char *plain_word(const char *text, size_t maximum)
{
    if (text == NULL || text[0] == '\0' || strlen(text) > maximum) {
        return NULL;
    }
    for (const char *at = text; *at != '\0'; at++) {
        if (!is_word_byte(*at) && strchr("[]$:", *at) == NULL) {
            return NULL;
        }
    }
    return looks_like_key(slice_of(text)) ? NULL : text;
}

/* --- Shapes ----------------------------------------------------------------------------------- */

struct found {
    struct arena *arena;
    const char *message;            /* as told */
    const struct json_node *object; /* where type, code and param stand */
    bool is_out_of_memory;
};

static void add_message(struct found *found, const char *text)
{
    if (text == NULL || text[0] == '\0') {
        return;
    }
    if (found->message == NULL) {
        found->message = text;
    } else if (strlen(found->message) < PROVIDER_WORDS_MAXIMUM) {
        found->message = arena_format(found->arena, "%s; %s", found->message, text);
        found->is_out_of_memory = found->is_out_of_memory || found->message == NULL;
    }
}

/* The words of a text, or of an object that has a message under one of its usual names. */
static bool add_words(struct found *found, const struct json_node *node)
{
    static const char *const names[] = {"message", "msg", "error", "detail", "reason"};
    const char *text;
    if (json_get_text(node, &text)) {
        add_message(found, text);
        return true;
    }
    for (size_t i = 0; node != NULL && i < sizeof names / sizeof names[0]; i++) {
        if (json_get_text(json_member(node, names[i]), &text)) {
            add_message(found, text);
            found->object = found->object != NULL ? found->object : node;
            return true;
        }
    }
    return false;
}

#define LISTED_MAXIMUM 8

static bool add_list(struct found *found, const struct json_node *node)
{
    bool has_any = false;
    if (node == NULL || json_node_kind(node) != JSON_ARRAY) {
        return add_words(found, node);
    }
    const struct json_node *item = json_first(node);
    for (size_t i = 0; item != NULL && i < LISTED_MAXIMUM; i++, item = json_next(item)) {
        has_any = add_words(found, item) || has_any;
    }
    return has_any;
}

static void find_words(struct found *found, const struct json_node *root)
{
    static const char *const names[] = {"error", "errors", "detail", "details"};
    if (root != NULL && json_node_kind(root) == JSON_ARRAY) {
        root = json_first(root);
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct json_node *member = json_member(root, names[i]);
        if (member != NULL && add_list(found, member)) {
            return;
        }
    }
    (void)add_words(found, root);
}

static enum status read_members(const struct found *found, struct provider_error *out)
{
    const struct json_node *object = found->object;
    int64_t number = 0;
    const char *code = json_member_text(object, "code", NULL);
    out->type = plain_word(json_member_text(object, "type", NULL), WORD_MAXIMUM);
    out->param = plain_word(json_member_text(object, "param", NULL), PARAM_MAXIMUM);
    out->code = plain_word(code, WORD_MAXIMUM);
    if (json_get_integer(json_member(object, "code"), &number) ||
        (code != NULL && text_parse_integer(slice_of(code), &number) == STATUS_OK)) {
        out->code = NULL;
        out->status_code = number >= 400 && number <= 599 ? (int)number : 0;
    }
    understand(out->type, out);
    understand(code, out);
    understand(found->message, out);
    return found->message == NULL ? STATUS_OK
                                  : make_clean(found->arena, found->message, &out->message);
}

enum status provider_error_read(struct slice body, struct arena *arena, struct provider_error *out)
{
    const struct json_node *root;
    struct found found = {.arena = arena};
    *out = (struct provider_error){0};
    enum status status = json_parse(arena, body, &root);
    if (status == STATUS_NO_MEMORY) {
        return status;
    }
    struct slice text = slice_trim(body);
    bool is_json = status == STATUS_OK;
    if (is_json) {
        find_words(&found, root);
    } else if (text.length > 0 && text.data[0] != '<' && text.data[0] != '{' &&
               memchr(text.data, '\0', text.length) == NULL) {
        found.message = arena_copy(arena, text.data, limit(text, PROVIDER_WORDS_MAXIMUM).length);
        found.is_out_of_memory = found.message == NULL;
    }
    if (found.is_out_of_memory) {
        return STATUS_NO_MEMORY;
    }
    if (is_json && text.length > 0) {
        /* What another provider behind this one said may stand deeper. */
        const char *whole = arena_copy(arena, text.data, text.length);
        if (whole == NULL) {
            return STATUS_NO_MEMORY;
        }
        understand(whole, out);
    }
    return read_members(&found, out);
}
