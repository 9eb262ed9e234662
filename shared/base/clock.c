/*
 * clock: clock_gettime in the three kinds, and dates of the proleptic Gregorian calendar.
 *
 * The calendar is computed here because gmtime_r and timegm take libc's process-wide time zone
 * lock, and dates of points are parsed by the million. Both directions count days in eras of 400
 * years that start on 1 March, so that the leap day is the last day of its year.
 */
#include "base/clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#define SECONDS_PER_DAY 86400
#define DAYS_PER_ERA    146097
/* Days from 0000-03-01 to 1970-01-01. */
#define DAYS_TO_1970 719468

/* 0000-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z: RFC 3339 has four digits of year. */
#define TIMESTAMP_MINIMUM INT64_C(-62167219200000)
#define TIMESTAMP_MAXIMUM INT64_C(253402300799999)

static struct timespec read_clock(clockid_t clock)
{
    struct timespec now = {0};
    /* Cannot fail: these three clocks exist on every Linux that runs this code. */
    clock_gettime(clock, &now);
    return now;
}

static uint64_t as_nanoseconds(struct timespec time)
{
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

static _Atomic int64_t wall_offset; /* of tests; 0 in a program */

void clock_set_wall_offset(int64_t milliseconds)
{
    atomic_store_explicit(&wall_offset, milliseconds, memory_order_relaxed);
}

int64_t clock_wall_milliseconds(void)
{
    struct timespec now = read_clock(CLOCK_REALTIME);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 +
           atomic_load_explicit(&wall_offset, memory_order_relaxed);
}

int64_t clock_wall_seconds(void)
{
    return clock_wall_milliseconds() / 1000;
}

uint64_t clock_boot_nanoseconds(void)
{
    return as_nanoseconds(read_clock(CLOCK_BOOTTIME));
}

uint64_t clock_monotonic_nanoseconds(void)
{
    return as_nanoseconds(read_clock(CLOCK_MONOTONIC));
}

static void put_digits(char *out, int64_t number, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        out[i] = (char)('0' + number % 10);
        number /= 10;
    }
}

/* Writes "YYYY-MM-DDTHH:MM:SS" of a second within the years 0 to 9999. */
static void put_date_and_time(int64_t seconds, char *out)
{
    int64_t since_march_0000 = seconds + (int64_t)DAYS_TO_1970 * SECONDS_PER_DAY;
    /* January and February of the year 0 lie before the first era; one era more keeps all positive. */
    since_march_0000 += (int64_t)DAYS_PER_ERA * SECONDS_PER_DAY;
    int64_t days = since_march_0000 / SECONDS_PER_DAY;
    int64_t second_of_day = since_march_0000 % SECONDS_PER_DAY;
    int64_t era = days / DAYS_PER_ERA;
    int64_t day_of_era = days % DAYS_PER_ERA;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    int64_t day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    int64_t year = (era - 1) * 400 + year_of_era + (month <= 2 ? 1 : 0);
    put_digits(out, year, 4);
    put_digits(out + 5, month, 2);
    put_digits(out + 8, day, 2);
    put_digits(out + 11, second_of_day / 3600, 2);
    put_digits(out + 14, second_of_day / 60 % 60, 2);
    put_digits(out + 17, second_of_day % 60, 2);
    out[4] = out[7] = '-';
    out[10] = 'T';
    out[13] = out[16] = ':';
}

void clock_format_timestamp(int64_t wall_milliseconds, char out[CLOCK_TIMESTAMP_SIZE])
{
    /* Log lines and answers ask for the same second again and again. */
    static _Thread_local int64_t cached_second = INT64_MIN;
    static _Thread_local char cached_text[19];

    if (wall_milliseconds < TIMESTAMP_MINIMUM) {
        wall_milliseconds = TIMESTAMP_MINIMUM;
    }
    if (wall_milliseconds > TIMESTAMP_MAXIMUM) {
        wall_milliseconds = TIMESTAMP_MAXIMUM;
    }
    int64_t second = wall_milliseconds / 1000;
    int64_t millisecond = wall_milliseconds % 1000;
    if (millisecond < 0) {
        second--;
        millisecond += 1000;
    }
    if (second != cached_second) {
        put_date_and_time(second, cached_text);
        cached_second = second;
    }
    memcpy(out, cached_text, sizeof(cached_text));
    out[19] = '.';
    put_digits(out + 20, millisecond, 3);
    out[23] = 'Z';
    out[24] = '\0';
}

int64_t clock_seconds_of_date(int year, int month, int day)
{
    static const int month_lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (month < 1 || month > 12 || day < 1) {
        return INT64_MIN;
    }
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day > month_lengths[month - 1] + (month == 2 && leap ? 1 : 0)) {
        return INT64_MIN;
    }
    int64_t shifted_year = (int64_t)year - (month <= 2 ? 1 : 0);
    int64_t era = (shifted_year >= 0 ? shifted_year : shifted_year - 399) / 400;
    int64_t year_of_era = shifted_year - era * 400;
    int64_t month_from_march = month > 2 ? month - 3 : month + 9;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (era * DAYS_PER_ERA + day_of_era - DAYS_TO_1970) * SECONDS_PER_DAY;
}

int64_t clock_first_of_month(int64_t day)
{
    time_t seconds = (time_t)(day * SECONDS_PER_DAY);
    struct tm date = {.tm_mday = 1}; /* stays where gmtime_r finds no year for it */
    gmtime_r(&seconds, &date);
    return day - date.tm_mday + 1;
}

/* `count` digits at the front of *at as a number, taken off; -1 when there are not so many. */
static int take_digits(const char **at, int count)
{
    int number = 0;
    for (int i = 0; i < count; i++, (*at)++) {
        if (**at < '0' || **at > '9') {
            return -1;
        }
        number = number * 10 + (**at - '0');
    }
    return number;
}

static bool take_char(const char **at, char wanted)
{
    if (**at != wanted) {
        return false;
    }
    (*at)++;
    return true;
}

/* "Z", "+02:00": minutes east of Greenwich. */
static bool take_offset(const char **at, int *minutes)
{
    char sign = **at;
    if (take_char(at, 'Z') || take_char(at, 'z')) {
        *minutes = 0;
        return true;
    }
    if (!take_char(at, '+') && !take_char(at, '-')) {
        return false;
    }
    int hour = take_digits(at, 2);
    int minute = take_char(at, ':') ? take_digits(at, 2) : -1;
    *minutes = (hour * 60 + minute) * (sign == '-' ? -1 : 1);
    return hour >= 0 && hour < 24 && minute >= 0 && minute < 60;
}

/* ".25": cut after the third digit. */
static bool take_fraction(const char **at, int *milliseconds)
{
    int digits = 0;
    *milliseconds = 0;
    if (!take_char(at, '.')) {
        return true;
    }
    for (; **at >= '0' && **at <= '9'; (*at)++, digits++) {
        *milliseconds = digits < 3 ? *milliseconds * 10 + (**at - '0') : *milliseconds;
    }
    for (int i = digits; i < 3; i++) {
        *milliseconds *= 10;
    }
    return digits > 0;
}

bool clock_parse_timestamp(const char *text, int64_t *wall_milliseconds)
{
    const char *at = text;
    int milliseconds;
    int offset;
    int year = take_digits(&at, 4);
    int month = take_char(&at, '-') ? take_digits(&at, 2) : -1;
    int day = take_char(&at, '-') ? take_digits(&at, 2) : -1;
    bool has_time = take_char(&at, 'T') || take_char(&at, 't') || take_char(&at, ' ');
    int hour = has_time ? take_digits(&at, 2) : -1;
    int minute = take_char(&at, ':') ? take_digits(&at, 2) : -1;
    int second = take_char(&at, ':') ? take_digits(&at, 2) : -1;
    if (year < 0 || month < 1 || day < 1 || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
        second < 0 || second > 60 || !take_fraction(&at, &milliseconds) ||
        !take_offset(&at, &offset) || *at != '\0') {
        return false;
    }
    int64_t days = clock_seconds_of_date(year, month, day);
    if (days == INT64_MIN) {
        return false;
    }
    *wall_milliseconds =
        (days + hour * 3600 + minute * 60 + second - offset * 60) * 1000 + milliseconds;
    return true;
}
