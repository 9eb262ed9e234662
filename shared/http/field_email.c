/*
 * http/field_email: apart from the other fields, so that only a program that reads an address
 * carries the library for it.
 */
#include "auth/names.h"
#include "http/fields.h"

const char *field_email(struct request *request, const char *name, enum field_presence presence)
{
    const char *folded = NULL;
    const char *text = field_text(request, name, presence, 1, NAMES_EMAIL_MAXIMUM);
    if (text == NULL) {
        return NULL;
    }
    enum status status = names_fold_email(request->arena, text, &folded);
    if (status != STATUS_OK) {
        problem_add_field(request, "body", name, "Input is not a valid email address",
                          "value_error");
    }
    return folded;
}
