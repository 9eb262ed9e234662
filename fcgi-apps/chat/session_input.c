/*
 * chat/session_input: see the header.
 */
#include "session_input.h"

#include <string.h>

#include "completion_request.h"
#include "http/fields.h"

/* "." and ".." could be written but never be named in a path again. */
static bool is_session_id(const char *text)
{
    size_t length = strlen(text);
    if (length == 0 || length > SESSION_ID_MAXIMUM || strcmp(text, ".") == 0 ||
        strcmp(text, "..") == 0) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        char byte = text[i];
        bool is_alphanumeric = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                               (byte >= '0' && byte <= '9');
        if (!is_alphanumeric && strchr("_.:-", byte) == NULL) {
            return false;
        }
    }
    return true;
}

static void add_bad_id(struct request *request, const char *source, const char *name)
{
    problem_add_field(
        request, source, name,
        "Should be 1 to 128 letters, digits, '_', '.', ':' or '-', and not '.' or '..'",
        "string_pattern_mismatch");
}

static bool is_too_long(const struct request *request, const char *name)
{
    const char *text = json_member_text(request->json, name, NULL);
    return text != NULL && text_count_characters(text, strlen(text)) > SESSION_MESSAGE_MAXIMUM;
}

bool session_input_read(struct request *request, struct session_input *out)
{
    /* Without bounds here: a wrong id has a code of its own. */
    const char *id = field_text(request, "session_id", FIELD_REQUIRED, 0, SIZE_MAX);
    bool is_bad_id = id != NULL && !is_session_id(id);
    if (is_bad_id) {
        add_bad_id(request, "body", "session_id");
    }
    out->session_id = id;
    out->message = field_text(request, "message", FIELD_REQUIRED, 1, SESSION_MESSAGE_MAXIMUM);
    out->model = field_text(request, "model", FIELD_OPTIONAL, 1, COMPLETION_MODEL_MAXIMUM);
    request->subject.session_id = is_bad_id ? NULL : id;
    if (!problem_has_fields(request)) {
        return true;
    }
    enum problem problem = PROBLEM_COUNT;
    if (is_bad_id) {
        problem = PROBLEM_SESSION_ID_INVALID;
    } else if (is_too_long(request, "message")) {
        problem = PROBLEM_MESSAGE_TOO_LONG;
    }
    problem_answer_fields(request, problem);
    return false;
}

bool session_input_path(struct request *request, struct conversation_key *out)
{
    const char *id = request_path_value(request, "id");
    if (!is_session_id(id)) {
        add_bad_id(request, "path", "id");
        problem_answer_fields(request, PROBLEM_SESSION_ID_INVALID);
        return false;
    }
    request->subject.session_id = id;
    *out = session_key_of(request, id);
    return true;
}

struct conversation_key session_key_of(const struct request *request, const char *id)
{
    return (struct conversation_key){.owner = request->principal.owner, .id = id};
}
