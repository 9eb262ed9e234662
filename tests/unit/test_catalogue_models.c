/*
 * The catalogue of providers word for word: the entry of each without any setting, the bounds of its
 * settings, and the messages about providers that cannot be used.
 */
#include "config_fixture.h"

#include "log/log.h"
#include "models/catalogue.h"

static enum status create(struct fixture *fixture, const char *const *environment,
                          struct catalogue **out)
{
    assert_loads(fixture, environment, NULL);
    return catalogue_create(out, fixture->config, &fixture->problem);
}

static struct catalogue *must_create(struct fixture *fixture, const char *const *environment)
{
    struct catalogue *catalogue;

    if (create(fixture, environment, &catalogue) != STATUS_OK) {
        fail_msg("refused: %s", buffer_text(&fixture->problem));
    }
    return catalogue;
}

static void assert_refused(struct fixture *fixture, const char *const *environment,
                           const char *problem)
{
    struct catalogue *catalogue;

    assert_int_equal(create(fixture, environment, &catalogue), STATUS_INVALID);
    assert_null(catalogue);
    assert_string_equal(buffer_text(&fixture->problem), problem);
}

/* --- Known providers -------------------------------------------------------------------------- */

static void append_provider(struct buffer *out, const struct provider *provider)
{
    buffer_append_format(out, "%s|%s|%s|%s|%s", provider->name, provider->display_name,
                         provider->url != NULL ? provider->url : "-",
                         provider->models_url != NULL ? provider->models_url : "-",
                         provider->takes_stream_options ? "usage" : "no usage");
    for (size_t i = 0; i < provider->model_count; i++) {
        buffer_append_format(out, "|%s %s %lld", provider->models[i].id,
                             provider->models[i].full_id,
                             (long long)provider->models[i].context_window);
    }
    buffer_append_char(out, '\n');
}

static void each_known_provider_has_its_address_and_models(void **state)
{
    static const char expected[] =
        "openai|OpenAI|https://api.openai.com/v1/chat/completions|https://api.openai.com/v1/models"
        "|usage|gpt-4o-mini openai/gpt-4o-mini 128000|gpt-4o openai/gpt-4o 128000"
        "|gpt-4.1-mini openai/gpt-4.1-mini 1047576|gpt-4.1 openai/gpt-4.1 1047576\n"
        "groq|Groq|https://api.groq.com/openai/v1/chat/completions"
        "|https://api.groq.com/openai/v1/models|usage"
        "|llama-3.3-70b-versatile groq/llama-3.3-70b-versatile 131072"
        "|llama-3.1-8b-instant groq/llama-3.1-8b-instant 131072\n"
        "deepseek|DeepSeek|https://api.deepseek.com/v1/chat/completions"
        "|https://api.deepseek.com/v1/models|usage|deepseek-chat deepseek/deepseek-chat 131072"
        "|deepseek-reasoner deepseek/deepseek-reasoner 131072\n"
        "gemini|Google Gemini"
        "|https://generativelanguage.googleapis.com/v1beta/openai/chat/completions"
        "|https://generativelanguage.googleapis.com/v1beta/openai/models|usage"
        "|gemini-2.5-flash gemini/gemini-2.5-flash 1048576"
        "|gemini-2.5-pro gemini/gemini-2.5-pro 1048576\n"
        "mistral|Mistral AI|https://api.mistral.ai/v1/chat/completions"
        "|https://api.mistral.ai/v1/models|no usage"
        "|mistral-small-latest mistral/mistral-small-latest 131072"
        "|mistral-large-latest mistral/mistral-large-latest 131072\n"
        "openrouter|OpenRouter|https://openrouter.ai/api/v1/chat/completions"
        "|https://openrouter.ai/api/v1/models|usage|openrouter/auto openrouter/openrouter/auto 0\n"
        "ollama|Ollama|http://127.0.0.1:11434/v1/chat/completions"
        "|http://127.0.0.1:11434/v1/models|usage|llama3.2 ollama/llama3.2 131072\n"
        "lab|lab|http://h/chat/completions|http://h/models|usage|a lab/a 0|b lab/b 0\n"
        "demo|Built-in demo|-|-|usage|echo demo/echo 0|slow demo/slow 0\n";
    struct catalogue *catalogue = must_create(
        *state,
        ENVIRONMENT("OPENAI_API_KEY=k", "GROQ_API_KEY=k", "DEEPSEEK_API_KEY=k", "GEMINI_API_KEY=k",
                    "MISTRAL_API_KEY=k", "OPENROUTER_API_KEY=k", "OLLAMA_ENABLED=true",
                    "PROVIDER_LAB_BASE_URL=http://h/", "LAB_MODELS=a,b", "DEMO_ENABLED=true"));
    struct buffer text;

    buffer_init(&text, 65536);
    for (size_t i = 0; i < catalogue->provider_count; i++) {
        append_provider(&text, &catalogue->providers[i]);
    }
    assert_string_equal(buffer_text(&text), expected);
    assert_string_equal(catalogue->default_provider->name, "openai");
    buffer_release(&text);
    catalogue_release(catalogue);
}

static void a_company_of_which_nothing_is_configured_gets_no_requests_of_others(void **state)
{
    static const char *const companies[] = {
        "openai", "groq",   "deepseek",  "gemini",       "mistral",   "ollama",     "anthropic",
        "google", "vertex", "vertex_ai", "xai",          "x-ai",      "azure",      "bedrock",
        "cohere", "demo",   "together",  "together_ai",  "fireworks", "perplexity", "mistralai",
        "zai",    "z-ai",   "amazon",    "fireworks_ai", "moonshotai"};
    struct catalogue *catalogue =
        must_create(*state, ENVIRONMENT("OPENROUTER_API_KEY=k", "DEMO_ENABLED=false"));
    struct model_choice choice;
    struct arena arena;
    char model[64];

    arena_init(&arena, 65536);
    for (size_t i = 0; i < COUNT(companies); i++) {
        snprintf(model, sizeof model, "%s/m", companies[i]);
        if (catalogue_choose(catalogue, &arena, slice_of(model), &choice) != STATUS_NOT_FOUND) {
            fail_msg("%s", model);
        }
        snprintf(model, sizeof model, "%s", companies[i]);
        assert_int_equal(catalogue_choose(catalogue, &arena, slice_of(model), &choice), STATUS_OK);
    }
    arena_destroy(&arena);
    catalogue_release(catalogue);
}

/* --- Bounds ----------------------------------------------------------------------------------- */

static void a_provider_may_list_1024_models(void **state)
{
    struct buffer text;

    for (int form = 0; form < 2; form++) {
        buffer_init(&text, 65536);
        buffer_append_text(&text, form == 0 ? "OPENAI_MODELS=m" : "OPENAI_MODELS=[\"m\"");
        for (int i = 1; i < 1024; i++) {
            buffer_append_format(&text, form == 0 ? ",m%d" : ",\"m%d\"", i);
        }
        size_t length = text.length;
        buffer_append_text(&text, form == 0 ? "" : "]");
        struct catalogue *catalogue =
            must_create(*state, ENVIRONMENT("OPENAI_API_KEY=k", buffer_text(&text)));
        assert_int_equal(catalogue->default_provider->model_count, 1024);
        assert_string_equal(catalogue->default_provider->models[1023].full_id, "openai/m1023");
        catalogue_release(catalogue);
        buffer_truncate(&text, length);
        buffer_append_text(&text, form == 0 ? ",more" : ",\"more\"]");
        assert_refused(*state, ENVIRONMENT("OPENAI_API_KEY=k", buffer_text(&text)),
                       "provider openai: too many models");
        buffer_release(&text);
    }
}

static void there_may_be_64_providers(void **state)
{
    char texts[PROVIDER_MAXIMUM + 1][64];
    const char *environment[PROVIDER_MAXIMUM + 3] = {"DEMO_ENABLED=false"};

    for (size_t i = 0; i <= PROVIDER_MAXIMUM; i++) {
        snprintf(texts[i], sizeof texts[i], "PROVIDER_P%02zu_BASE_URL=http://h", i);
        environment[1 + i] = texts[i];
    }
    environment[1 + PROVIDER_MAXIMUM] = NULL;
    struct catalogue *catalogue = must_create(*state, environment);
    assert_int_equal(catalogue->provider_count, PROVIDER_MAXIMUM);
    catalogue_release(catalogue);
    environment[1 + PROVIDER_MAXIMUM] = texts[PROVIDER_MAXIMUM];
    assert_refused(*state, environment, "provider p64: too many providers");
}

static void a_name_has_48_bytes_of_letters_digits_and_a_few_signs(void **state)
{
#define N48 "N123456789N123456789N123456789N123456789N1234567"
    struct catalogue *catalogue =
        must_create(*state, ENVIRONMENT("PROVIDER_" N48 "_BASE_URL=http://h",
                                        "PROVIDER_a-z.AZ_09_BASE_URL=http://h"));
    assert_int_equal(catalogue->provider_count, 2);
    assert_string_equal(catalogue->providers[1].name, "a-z.az_09");
    catalogue_release(catalogue);
    static const char *const bad[] = {N48 "8", "A/", "A:", "A@", "A[", "A`", "A{", "A,"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        char setting[128];
        char problem[256];

        snprintf(setting, sizeof setting, "PROVIDER_%s_BASE_URL=http://h", bad[i]);
        snprintf(problem, sizeof problem,
                 "PROVIDER_%s_BASE_URL is no name of a provider: up to 48 letters, digits, '_', "
                 "'-' and '.' (environment)",
                 bad[i]);
        assert_refused(*state, ENVIRONMENT(setting), problem);
    }
}

static void a_price_is_two_numbers_up_to_a_million(void **state)
{
    static const char *const good[] = {"0/0", "1000000/1000000", " 0.5 / 1e6 "};
    static const char *const bad[] = {"",     "1",         "1/",        "/1",  "-1/1",
                                      "1/-1", "1000001/1", "1/1000001", "a/1", "1/b"};
    char setting[96];

    for (size_t i = 0; i < COUNT(good); i++) {
        snprintf(setting, sizeof setting, "MODEL_PRICES={\"a/b\":\"%s\"}", good[i]);
        struct catalogue *catalogue = must_create(*state, ENVIRONMENT(setting));
        assert_int_equal(catalogue->price_count, 1);
        assert_non_null(catalogue_find_price(catalogue, "a/b"));
        assert_null(catalogue_find_price(catalogue, "a/c"));
        catalogue_release(catalogue);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        snprintf(setting, sizeof setting, "MODEL_PRICES={\"a/b\":\"%s\"}", bad[i]);
        assert_refused(*state, ENVIRONMENT(setting),
                       "MODEL_PRICES has a price that is not IN/OUT in dollars per million tokens "
                       "(environment)");
    }
}

/* --- Refusals --------------------------------------------------------------------------------- */

static void what_cannot_be_used_is_said_in_one_line(void **state)
{
    static const struct {
        const char *environment[4];
        const char *problem;
    } cases[] = {
        {{"DEFAULT_PROVIDER=groq"},
         "DEFAULT_PROVIDER names a provider that is not configured: it has no <NAME>_API_KEY, and "
         "no <NAME>_ENABLED=true (environment)"},
        {{"OPENAI_API_KEY=k", "OPENAI_MODELS=[\"a\""},
         "provider openai: the list of models is not valid JSON"},
        {{"OPENAI_API_KEY=k", "OPENAI_MODELS=[\"a\",1]"},
         "provider openai: a model is not a string"},
        {{"PROVIDER_DEMO_BASE_URL=http://h"},
         "PROVIDER_DEMO_BASE_URL has the name of the built-in provider (environment)"},
        {{"OPENAI_API_KEY=k", "UPSTREAM_CA_PATH=/nowhere/at/all"},
         "UPSTREAM_CA_PATH no such directory or file of certificates (environment)"},
        /* One fault does not hide another. */
        {{"DEFAULT_PROVIDER=groq", "MODEL_PRICES={\"a/b\":\"1\"}"},
         "DEFAULT_PROVIDER names a provider that is not configured: it has no <NAME>_API_KEY, and "
         "no <NAME>_ENABLED=true (environment)\n"
         "MODEL_PRICES has a price that is not IN/OUT in dollars per million tokens (environment)"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_refused(*state, cases[i].environment, cases[i].problem);
    }
}

static void addresses_may_have_a_scheme_in_any_case_and_authorities_count_for_tls_only(void **state)
{
    struct catalogue *catalogue =
        must_create(*state, ENVIRONMENT("PROVIDER_A_BASE_URL=HTTP://h/v1///",
                                        "UPSTREAM_CA_PATH=/nowhere/at/all"));
    assert_string_equal(catalogue->default_provider->url, "HTTP://h/v1/chat/completions");
    catalogue_release(catalogue);
    catalogue = must_create(
        *state, ENVIRONMENT("PROVIDER_A_BASE_URL=HTTPS://h", "UPSTREAM_CA_PATH=/etc/ssl/certs"));
    assert_string_equal(catalogue->default_provider->models_url, "HTTPS://h/models");
    catalogue_release(catalogue);
}

/* --- Those that are left out -------------------------------------------------------------------- */

static void a_provider_of_another_format_is_left_out_and_reported(void **state)
{
    struct fixture *fixture = *state;
    struct catalogue *catalogue = must_create(
        fixture, ENVIRONMENT("PROVIDER_A_BASE_URL=http://h", "A_FORMAT=anthropic",
                             "PROVIDER_B_BASE_URL=http://h", "PROVIDER_B_FORMAT=anthropic",
                             "PROVIDER_C_BASE_URL=http://h", "C_FORMAT=openai"));
    struct buffer text;

    assert_int_equal(catalogue->provider_count, 1);
    assert_int_equal(catalogue->left_out_count, 2);
    assert_string_equal(catalogue->left_out[0], "a");
    assert_string_equal(catalogue->left_out[1], "b");
    snprintf(fixture->path, sizeof fixture->path, "%s/log", fixture->directory);
    assert_int_equal(log_open("test", LOG_INFO, fixture->path), STATUS_OK);
    catalogue_report(catalogue);
    assert_int_equal(log_open("test", LOG_INFO, NULL), STATUS_OK);
    buffer_init(&text, 65536);
    assert_int_equal(file_read(fixture->path, &text), STATUS_OK);
    assert_holds(buffer_text(&text), "\"level\":\"WARNING\"");
    assert_holds(buffer_text(&text), "\"message\":\"provider_left_out\"");
    assert_holds(buffer_text(&text), "\"provider\":\"a\"");
    assert_holds(buffer_text(&text), "\"provider\":\"b\"");
    assert_holds(buffer_text(&text), "\"detail\":\"its wire format is not spoken\"");
    buffer_release(&text);
    catalogue_release(catalogue);
}

/* --- Memory ----------------------------------------------------------------------------------- */

/* A key in front moves each piece in turn to the beginning of a block of memory, where it needs a
 * new one. */
static void every_failing_allocation_is_told(void **state)
{
    struct fixture *fixture = *state;

    for (size_t padding = 1; padding <= 512; padding += 16) {
        char key[768] = "OPENAI_MODELS=";

        memset(key + strlen(key), 'x', padding);
        assert_loads(fixture,
                     ENVIRONMENT("OPENAI_API_KEY=k", key, "PROVIDER_A_BASE_URL=http://a/v1",
                                 "A_MODELS=[\"x\",\"y\"]", "MODEL_PRICES={\"a/x\":\"1/2\"}"),
                     NULL);
        enum status status = STATUS_NO_MEMORY;
        for (unsigned long n = 1; status != STATUS_OK; n++) {
            struct catalogue *catalogue;

            memory_fail_only(n);
            status = catalogue_create(&catalogue, fixture->config, &fixture->problem);
            unsigned long failures = memory_failures_seen();
            memory_fail_after(0);
            assert_int_equal(status, failures > 0 ? STATUS_NO_MEMORY : STATUS_OK);
            catalogue_release(catalogue);
        }
    }
}

static void a_choice_without_room_for_it_is_told(void **state)
{
    struct catalogue *catalogue = must_create(*state, ENVIRONMENT("OPENAI_API_KEY=k"));
    enum status status = STATUS_NO_MEMORY;

    for (size_t room = 0; status == STATUS_NO_MEMORY; room++) {
        struct model_choice choice;
        struct arena arena;

        assert_true(room < 256);
        arena_init(&arena, room);
        status = catalogue_choose(catalogue, &arena, slice_of("gpt-4o"), &choice);
        arena_destroy(&arena);
    }
    assert_int_equal(status, STATUS_OK);
    catalogue_release(catalogue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(each_known_provider_has_its_address_and_models),
        CONFIG_TEST(a_company_of_which_nothing_is_configured_gets_no_requests_of_others),
        CONFIG_TEST(a_provider_may_list_1024_models),
        CONFIG_TEST(there_may_be_64_providers),
        CONFIG_TEST(a_name_has_48_bytes_of_letters_digits_and_a_few_signs),
        CONFIG_TEST(a_price_is_two_numbers_up_to_a_million),
        CONFIG_TEST(what_cannot_be_used_is_said_in_one_line),
        CONFIG_TEST(addresses_may_have_a_scheme_in_any_case_and_authorities_count_for_tls_only),
        CONFIG_TEST(a_provider_of_another_format_is_left_out_and_reported),
        CONFIG_TEST(every_failing_allocation_is_told),
        CONFIG_TEST(a_choice_without_room_for_it_is_told),
    };
    return cmocka_run_group_tests_name("provider list", tests, NULL, NULL);
}
