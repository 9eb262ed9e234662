/*
 * http/client: who connects: address and scheme, as far as a proxy may be believed.
 *
 * X-Forwarded-For has no standard; what is read here is the node grammar of RFC 7239 section 6 as
 * proxies write it: an address, with or without a port, IPv6 in brackets or bare, perhaps quoted.
 * An address has one spelling afterwards (inet_ntop's; ::ffff:a.b.c.d is a.b.c.d), so that it has
 * one budget. Own code: no library here knows HTTP's lists.
 */
#include <arpa/inet.h>
#include <stdatomic.h>
#include <string.h>

#include "http/pipeline.h"
#include "log/log.h"

static const char unknown_client[] = "unknown";

/* --- Addresses --------------------------------------------------------------------------------- */

/* Writes the one spelling of an address; "unknown" for what is none: never the proxy instead, which
 * may be exempt from limits. */
static void spell_address(struct slice text, char out[INET6_ADDRSTRLEN])
{
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr v6;
    struct in_addr v4;
    memcpy(out, unknown_client, sizeof unknown_client);
    if (text.length == 0 || text.length >= sizeof copy) {
        return;
    }
    memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
    if (inet_pton(AF_INET6, copy, &v6) == 1) {
        if (IN6_IS_ADDR_V4MAPPED(&v6)) {
            memcpy(&v4, &v6.s6_addr[12], sizeof v4);
            (void)inet_ntop(AF_INET, &v4, out, INET6_ADDRSTRLEN);
        } else {
            (void)inet_ntop(AF_INET6, &v6, out, INET6_ADDRSTRLEN);
        }
    } else if (inet_pton(AF_INET, copy, &v4) == 1) {
        (void)inet_ntop(AF_INET, &v4, out, INET6_ADDRSTRLEN);
    }
}

static struct slice unquote(struct slice text)
{
    if (text.length >= 2 && text.data[0] == '"' && text.data[text.length - 1] == '"') {
        text.data++;
        text.length -= 2;
    }
    return text;
}

/* ":" and digits, to the end. RFC 7239 section 6.1 allows five of them. */
static bool is_port(struct slice text)
{
    if (text.length < 2 || text.length > 6 || text.data[0] != ':') {
        return false;
    }
    for (size_t i = 1; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
    }
    return true;
}

/* The address of a hop without its port; empty for what is none. */
static struct slice address_of(struct slice hop)
{
    static const struct slice none = {"", 0};
    hop = unquote(slice_trim(hop));
    if (hop.length == 0) {
        return none;
    }
    if (hop.data[0] == '[') {
        const char *end = memchr(hop.data, ']', hop.length);
        if (end == NULL) {
            return none;
        }
        struct slice address = {hop.data + 1, (size_t)(end - hop.data) - 1};
        struct slice port = {end + 1, hop.length - address.length - 2};
        bool is_v6 = memchr(address.data, ':', address.length) != NULL;
        return is_v6 && (port.length == 0 || is_port(port)) ? address : none;
    }
    const char *colon = memchr(hop.data, ':', hop.length);
    if (colon == NULL) {
        return hop;
    }
    struct slice port = {colon, hop.length - (size_t)(colon - hop.data)};
    if (memchr(colon + 1, ':', port.length - 1) != NULL) {
        return hop; /* bare IPv6 */
    }
    return is_port(port) ? (struct slice){hop.data, hop.length - port.length} : none;
}

/* --- Lists of hops ----------------------------------------------------------------------------- */

/* Takes the part behind the last comma off the end of *list; false when *list is used up. */
static bool take_last(struct slice *list, struct slice *part)
{
    if (list->data == NULL) {
        return false;
    }
    size_t start = list->length;
    while (start > 0 && list->data[start - 1] != ',') {
        start--;
    }
    *part = (struct slice){list->data + start, list->length - start};
    *list = start > 0 ? (struct slice){list->data, start - 1} : (struct slice){NULL, 0};
    return true;
}

/* Looks from the right for a hop that is not one of ours, which becomes the client; false when all
 * of these are, and the left-most is the client then. */
static bool find_untrusted_hop(struct request *request, struct slice hops)
{
    struct slice hop;
    while (take_last(&hops, &hop)) {
        spell_address(address_of(hop), request->client_text);
        if (!network_list_contains(&request->live->trusted_proxies, request->client_text)) {
            return true;
        }
    }
    return false;
}

/* One variable stands for every spelling of a name, X.Forwarded-For as well as X-Forwarded-For
 * (RFC 3875 section 4.1.18). Where the web server joins the lines of one header and says so, a
 * second variable of that name is another spelling: no proxy has sent it, and nobody can tell which
 * of them the proxy's is. */
static bool is_forged(const struct exchange *exchange, const char *name)
{
    size_t lines = 0;
    for (size_t i = 0; i < exchange->parameter_count; i++) {
        const struct exchange_parameter *line = &exchange->parameters[i];
        lines += slice_equals(line->name, name) && slice_trim(line->value).length > 0 ? 1 : 0;
    }
    return lines > 1 && exchange_parameter(exchange, "HEADER_LINES_JOINED").length > 0;
}

/* The right-most hop that is not one of ours; what stands to the left of it is hearsay. A header
 * that came more than once is one list in the order of its lines (RFC 9110 section 5.3); some
 * servers hand each line on as a variable of its own. */
static void find_client(struct request *request)
{
    const struct exchange *exchange = request->exchange;
    if (is_forged(exchange, "HTTP_X_FORWARDED_FOR")) {
        spell_address((struct slice){"", 0}, request->client_text);
        return;
    }
    for (size_t i = exchange->parameter_count; i > 0; i--) {
        const struct exchange_parameter *line = &exchange->parameters[i - 1];
        if (slice_equals(line->name, "HTTP_X_FORWARDED_FOR") &&
            slice_trim(line->value).length > 0 && find_untrusted_hop(request, line->value)) {
            return;
        }
    }
}

/* The word of the hop nearest to us: the last of the list, in the last line of the header. */
static struct slice nearest_scheme(const struct request *request)
{
    const struct exchange *exchange = request->exchange;
    if (is_forged(exchange, "HTTP_X_FORWARDED_PROTO")) {
        return (struct slice){0};
    }
    for (size_t i = exchange->parameter_count; i > 0; i--) {
        const struct exchange_parameter *line = &exchange->parameters[i - 1];
        struct slice list = line->value;
        struct slice word;
        while (slice_equals(line->name, "HTTP_X_FORWARDED_PROTO") && list.length > 0 &&
               take_last(&list, &word)) {
            word = unquote(slice_trim(word));
            if (word.length > 0) {
                return word;
            }
        }
    }
    return (struct slice){0};
}

/* --- In the pipeline --------------------------------------------------------------------------- */

/* A proxy that is not listed costs every client behind it its own address and sends HTTPS into an
 * endless redirect, and nothing else would say why. Once per set of settings: anybody can send it. */
static void tell_untrusted(struct request *request, const char *header)
{
    const struct app_live *told = atomic_exchange_explicit(&request->app->told_untrusted,
                                                           request->live, memory_order_relaxed);
    if (told != request->live) {
        log_write(LOG_WARNING, "forwarded_header_ignored", LOG_TEXT("header", header),
                  LOG_TEXT("client", request->client_address),
                  LOG_TEXT("setting", "TRUSTED_PROXIES"));
    }
}

void client_identify(struct request *request)
{
    static const char hops[] = "X-Forwarded-For";
    static const char scheme[] = "X-Forwarded-Proto";
    spell_address(exchange_parameter(request->exchange, "REMOTE_ADDR"), request->client_text);
    request->client_address = request->client_text;
    struct slice https = exchange_parameter(request->exchange, "HTTPS");
    request->is_https = https.length > 0 && !slice_equals_ignoring_case(https, "off");
    if (!network_list_contains(&request->live->trusted_proxies, request->client_address)) {
        if (request_header(request, hops).length > 0) {
            tell_untrusted(request, hops);
        } else if (request_header(request, scheme).length > 0) {
            tell_untrusted(request, scheme);
        }
        return;
    }
    struct slice word = nearest_scheme(request);
    if (word.length > 0) {
        request->is_https = slice_equals_ignoring_case(word, "https");
    }
    find_client(request);
}
