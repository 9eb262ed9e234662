/*
 * http/start: everything in a configuration that refuses a start, in one list. Programs, reloads,
 * `quintet check`, `quintet config` and script/server all judge by it, so what one of them refuses
 * the others refuse in the same words, all faults together.
 *
 * Looks only: nothing is made, opened or connected to.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http/app.h"
#include "http/live.h"
#include "services/services.h"

/* --- Providers and services --------------------------------------------------------------------- */

static enum status check_catalogue(struct config *config, struct buffer *problem)
{
    struct catalogue *catalogue = NULL;
    struct service_list services;
    enum status status = catalogue_create(&catalogue, config, problem);
    if (status == STATUS_OK) {
        status = services_load(config, catalogue, &config->arena, &services, problem);
    }
    catalogue_release(catalogue);
    return status;
}

/* A default that is not there matters to nobody before a provider is asked. */
static enum status check_authorities(struct config *config, struct buffer *problem)
{
    const char *name = config_is_set(config, "UPSTREAM_CA_PATH") ? "UPSTREAM_CA_PATH"
                       : config_lookup(config, "SSL_CERT_FILE")  ? "SSL_CERT_FILE"
                                                                 : "SSL_CERT_DIR";
    struct stat found;
    if (!config_is_set(config, name) && config_lookup(config, name) == NULL) {
        return STATUS_OK;
    }
    if (stat(config->upstream_ca_path, &found) != 0 ||
        !(S_ISREG(found.st_mode) || S_ISDIR(found.st_mode))) {
        return config_refuse(config, name, "names no file and no directory", problem);
    }
    return access(config->upstream_ca_path, S_ISDIR(found.st_mode) ? X_OK | R_OK : R_OK) == 0
               ? STATUS_OK
               : config_refuse(config, name, "names what may not be read", problem);
}

/* --- The database ------------------------------------------------------------------------------- */

/* To run on another database than the one that was asked for would be to lose sight of the data. */
static enum status check_database(struct config *config, struct buffer *problem)
{
    const char *url = config->database_url;
    if (storage_has_driver(url)) {
        return STATUS_OK;
    }
    char phrase[128];
    snprintf(phrase, sizeof phrase,
             "names a %.*s database, and this version has a driver for sqlite only",
             (int)strcspn(url, ":"), url);
    return config_refuse(config, "DATABASE_URL", phrase, problem);
}

/* --- CGI ---------------------------------------------------------------------------------------- */

/* Resolves the longest part of `path` that exists; what is not there yet cannot be a link. */
static bool resolve(const char *path, char out[PATH_MAX])
{
    char text[PATH_MAX];
    if (snprintf(text, sizeof text, "%s", path) >= PATH_MAX) {
        return false;
    }
    while (realpath(text, out) == NULL) {
        char *slash = strrchr(text, '/');
        if (slash == NULL) {
            return realpath(".", out) != NULL;
        }
        slash[slash == text ? 1 : 0] = '\0';
        if (strcmp(text, "/") == 0) {
            return realpath(text, out) != NULL;
        }
    }
    return true;
}

static bool is_below(const char *path, const char *root)
{
    char real_path[PATH_MAX];
    char real_root[PATH_MAX];
    if (path[0] == '\0' || realpath(root, real_root) == NULL || !resolve(path, real_path)) {
        return false;
    }
    size_t length = strlen(real_root);
    return strcmp(real_root, "/") != 0 && strncmp(real_path, real_root, length) == 0 &&
           (real_path[length] == '/' || real_path[length] == '\0');
}

/* The web server of a shared host runs programs as their owner and reads files as somebody else. */
static bool is_for_others(const char *path)
{
    struct stat file;
    return stat(path, &file) != 0 || (file.st_mode & (S_IRWXG | S_IRWXO)) != 0;
}

#define BELOW_ROOT " below the document root, where anybody may fetch it"

/* What lies below the document root of the web server that runs us as CGI, anybody may fetch. */
static enum status check_document_root(struct config *config, struct buffer *problem)
{
    static const char *const variables[] = {"DOCUMENT_ROOT", "CONTEXT_DOCUMENT_ROOT"};
    const char *database = config->database_url;
    const struct {
        const char *name;
        const char *path;
    } places[] = {
        {"STATE_DIR", config->state_dir},
        {"RUNTIME_DIR", config->runtime_dir},
        {"LOG_FILE", config->log_file},
        {"DATABASE_URL", strncmp(database, "sqlite:", 7) == 0 ? database + 7 : ""},
    };
    enum status status = STATUS_OK;
    for (size_t i = 0; i < sizeof variables / sizeof variables[0] && transport_is_cgi(); i++) {
        const char *root = getenv(variables[i]);
        const char *file;
        for (size_t j = 0; root != NULL && (file = config_file(config, j)) != NULL; j++) {
            if (is_below(file, root) && is_for_others(file)) {
                config_begin_fault(problem);
                buffer_append_text(problem, file);
                buffer_append_text(problem, " lies" BELOW_ROOT " (move it, or chmod 600)");
                status = STATUS_INVALID;
            }
        }
        for (size_t j = 0; root != NULL && j < sizeof places / sizeof places[0]; j++) {
            if (is_below(places[j].path, root)) {
                status = config_refuse(config, places[j].name, "lies" BELOW_ROOT, problem);
            }
        }
        if (status != STATUS_OK) {
            break;
        }
    }
    return status;
}

/* --- All of them -------------------------------------------------------------------------------- */

static enum status check_rules(struct config *config, struct buffer *problem)
{
    return config_check(config, problem);
}

enum status app_load_config(struct config **out, struct buffer *problem)
{
    static enum status (*const checks[])(struct config * config, struct buffer * problem) = {
        check_rules,     live_check,        check_database,
        check_catalogue, check_authorities, check_document_root,
    };
    enum status status = config_examine(out, problem);
    if (*out == NULL) {
        return status;
    }
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        enum status checked = checks[i](*out, problem);
        if (checked != STATUS_OK) {
            status = checked;
        }
        if (status != STATUS_OK && status != STATUS_INVALID) {
            break;
        }
    }
    if (status != STATUS_OK) {
        config_release(*out);
        *out = NULL;
    }
    return status;
}
