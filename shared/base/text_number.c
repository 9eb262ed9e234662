/*
 * text_number: doubles from and to text, exactly, whatever the locale of the process.
 *
 * Most numbers of this suite are prices and times with few digits. Those take a short way in both
 * directions: an integer below 2^53 and a power of ten up to 10^22 are both exact as doubles, so
 * one division or multiplication of them is rounded once, as IEEE 754 asks, and gives what strtod
 * would give (Clinger: "How to read floating point numbers accurately", 1990). All others go to
 * libc under the C locale.
 */
#include <float.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

#define EXACT_INTEGER  (UINT64_C(1) << 53)
#define EXACT_EXPONENT 22

static const double powers_of_ten[EXACT_EXPONENT + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static locale_t c_locale;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c_locale == (locale_t)0) {
        /* glibc's "C" is built in and takes no memory: there is nothing sensible to do without. */
        abort();
    }
}

/* What the grammar walk learns about a number, for the short way. */
struct spelling {
    uint64_t digits;  /* all digits as one integer, if `exact` */
    int64_t exponent; /* of ten, of that integer */
    bool negative;
    bool exact;
};

static bool is_digit(const char *at, const char *end)
{
    return at < end && *at >= '0' && *at <= '9';
}

static const char *read_digits(const char *at, const char *end, struct spelling *spelling)
{
    for (; is_digit(at, end); at++) {
        if (spelling->digits > (EXACT_INTEGER - 9) / 10) {
            spelling->exact = false;
        } else {
            spelling->digits = spelling->digits * 10 + (uint64_t)(*at - '0');
        }
    }
    return at;
}

static const char *read_exponent(const char *at, const char *end, struct spelling *spelling)
{
    bool negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+')) {
        at++;
    }
    if (!is_digit(at, end)) {
        return NULL;
    }
    int64_t exponent = 0;
    for (; is_digit(at, end); at++) {
        if (exponent > 1000) {
            spelling->exact = false;
        } else {
            exponent = exponent * 10 + (*at - '0');
        }
    }
    spelling->exponent += negative ? -exponent : exponent;
    return at;
}

/* RFC 8259 section 6. */
static bool read_spelling(struct slice text, struct spelling *spelling)
{
    if (text.length == 0) {
        return false;
    }
    const char *at = text.data;
    const char *end = at + text.length;
    spelling->negative = *at == '-';
    if (spelling->negative) {
        at++;
    }
    if (!is_digit(at, end) || (*at == '0' && is_digit(at + 1, end))) {
        return false;
    }
    at = read_digits(at, end, spelling);
    if (at < end && *at == '.') {
        const char *fraction = at + 1;
        at = read_digits(fraction, end, spelling);
        if (at == fraction) {
            return false;
        }
        spelling->exponent -= at - fraction;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at = read_exponent(at + 1, end, spelling);
    }
    return at == end;
}

enum status text_parse_double(struct slice text, double *number)
{
    struct spelling spelling = {.exact = true};
    if (!read_spelling(text, &spelling)) {
        return STATUS_INVALID;
    }
    if (FLT_EVAL_METHOD == 0 && spelling.exact && spelling.exponent >= -EXACT_EXPONENT &&
        spelling.exponent <= EXACT_EXPONENT) {
        double value = (double)spelling.digits;
        value = spelling.exponent < 0 ? value / powers_of_ten[-spelling.exponent]
                                      : value * powers_of_ten[spelling.exponent];
        *number = spelling.negative ? -value : value;
        return STATUS_OK;
    }

    /* strtod wants a NUL; the text may go on behind the slice. */
    char small[128];
    char *copy = small;
    if (text.length < sizeof(small)) {
        memcpy(small, text.data, text.length);
        small[text.length] = '\0';
    } else {
        copy = memory_copy_text(text.data, text.length);
        if (copy == NULL) {
            return STATUS_NO_MEMORY;
        }
    }
    pthread_once(&once, make_c_locale);
    double value = strtod_l(copy, NULL, c_locale);
    if (copy != small) {
        memory_release(copy);
    }
    if (!isfinite(value)) {
        return STATUS_INVALID;
    }
    *number = value;
    return STATUS_OK;
}

/* Writes `digits` with a point before the last `decimals` of them. */
static size_t put_decimal(int64_t digits, int decimals, char *out)
{
    char text[TEXT_DOUBLE_SIZE];
    char *at = text + sizeof(text);
    for (int written = 0; digits > 0 || written <= decimals; written++) {
        if (written == decimals && decimals > 0) {
            *--at = '.';
        }
        *--at = (char)('0' + digits % 10);
        digits /= 10;
    }
    size_t length = (size_t)(text + sizeof(text) - at);
    memcpy(out, at, length);
    return length;
}

/* Finds the least number of decimals, up to nine, that spell `number` (positive) within 15 digits;
 * such a spelling is the only one of at most 15 digits. Returns 0 if there is none. */
static size_t put_short_decimal(double number, char *out)
{
    for (int decimals = 0; decimals <= 9; decimals++) {
        double scaled = number * powers_of_ten[decimals];
        if (scaled >= 1e15) {
            return 0;
        }
        /* The product is rounded, so the integer is a guess; the division decides. */
        int64_t digits = (int64_t)(scaled + 0.5);
        if ((double)digits / powers_of_ten[decimals] == number) {
            return put_decimal(digits, decimals, out);
        }
    }
    return 0;
}

size_t text_format_double(double number, char out[TEXT_DOUBLE_SIZE])
{
    double magnitude = fabs(number);
    /* Below 1e-4 the exponent form is shorter; a zero may have a sign to keep. */
    if (FLT_EVAL_METHOD == 0 && magnitude < 1e15 && magnitude >= 1e-4) {
        size_t sign = number < 0 ? 1 : 0;
        out[0] = '-';
        size_t length = put_short_decimal(magnitude, out + sign);
        if (length > 0) {
            out[sign + length] = '\0';
            return sign + length;
        }
    }
    pthread_once(&once, make_c_locale);
    locale_t before = uselocale(c_locale);
    int length = 0;
    /* 15 digits always survive the way to a normal double and back, 17 always suffice; subnormal
     * doubles hold fewer digits. */
    for (int digits = magnitude < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        length = snprintf(out, TEXT_DOUBLE_SIZE, "%.*g", digits, number);
        if (strtod_l(out, NULL, c_locale) == number) {
            break;
        }
    }
    uselocale(before);
    return (size_t)length;
}
