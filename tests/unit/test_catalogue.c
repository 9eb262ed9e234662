/*
 * The catalogue of providers: what the settings make of it, what they are refused for, and which
 * provider a model goes to.
 */
#include "config_fixture.h"

#include "models/catalogue.h"

struct opened {
    struct fixture *fixture;
    struct catalogue *catalogue;
    struct arena arena;
};

static enum status open_catalogue(struct opened *opened, struct fixture *fixture,
                                  const char *const *environment)
{
    assert_loads(fixture, environment, NULL);
    opened->fixture = fixture;
    arena_init(&opened->arena, 1 << 20);
    return catalogue_create(&opened->catalogue, fixture->config, &fixture->problem);
}

static void close_catalogue(struct opened *opened)
{
    catalogue_release(opened->catalogue);
    arena_destroy(&opened->arena);
}

static void assert_opens(struct opened *opened, struct fixture *fixture,
                         const char *const *environment)
{
    if (open_catalogue(opened, fixture, environment) != STATUS_OK) {
        fail_msg("refused: %s", buffer_text(&fixture->problem));
    }
}

static void assert_chosen(struct opened *opened, const char *given, const char *provider,
                          const char *model)
{
    struct model_choice choice;
    enum status status =
        catalogue_choose(opened->catalogue, &opened->arena, slice_of(given), &choice);
    if (provider == NULL) {
        assert_int_equal(status, STATUS_NOT_FOUND);
        return;
    }
    assert_int_equal(status, STATUS_OK);
    assert_string_equal(choice.provider->name, provider);
    assert_string_equal(choice.model, model);
}

static void without_any_provider_the_demo_answers_for_its_own_models(void **state)
{
    struct opened opened;
    assert_opens(&opened, *state, NO_ENVIRONMENT);
    assert_int_equal(opened.catalogue->provider_count, 1);
    assert_null(opened.catalogue->default_provider->url);
    assert_null(opened.catalogue->default_provider->models_url);
    assert_chosen(&opened, "demo/echo", "demo", "echo");
    assert_chosen(&opened, "echo", "demo", "echo");
    assert_chosen(&opened, "gpt-4o", NULL, NULL);
    assert_chosen(&opened, "demo/gpt-4o", NULL, NULL);
    assert_chosen(&opened, "demo/", NULL, NULL);
    assert_chosen(&opened, "/", NULL, NULL);
    struct model_choice choice;
    assert_int_equal(catalogue_choose_default(opened.catalogue, &opened.arena, &choice), STATUS_OK);
    assert_string_equal(choice.full_id, "demo/echo");
    close_catalogue(&opened);
}

static void a_key_switches_a_known_provider_on(void **state)
{
    struct opened opened;
    assert_opens(&opened, *state, ENVIRONMENT("GROQ_API_KEY=gsk_1"));
    assert_int_equal(opened.catalogue->provider_count, 1);
    const struct provider *groq = opened.catalogue->default_provider;
    assert_string_equal(groq->url, "https://api.groq.com/openai/v1/chat/completions");
    assert_string_equal(groq->authorization, "Authorization: Bearer gsk_1");
    assert_true(groq->takes_stream_options);
    assert_true(groq->model_count > 0);
    close_catalogue(&opened);
}

static void what_switches_providers_on_and_off(void **state)
{
    static const struct {
        const char *environment[4];
        const char *names; /* of all providers, joined */
    } cases[] = {
        /* The SDKs' own variable alone must not make us our own provider. */
        {{"OPENAI_BASE_URL=http://127.0.0.1:8080/v1"}, "demo"},
        {{"OPENAI_API_KEY=k", "OPENAI_ENABLED=false"}, "demo"},
        {{"OPENAI_API_KEY=k", "DEMO_ENABLED=true"}, "openai demo"},
        {{"OPENAI_API_KEY=k", "DEMO_ENABLED=false"}, "openai"},
        {{"DEMO_ENABLED=false"}, "demo"},
        {{"OLLAMA_ENABLED=true"}, "ollama"},
        {{"OLLAMA_BASE_URL=http://gpu:11434/v1"}, "ollama"},
        {{"PROVIDER_MY_VLLM_BASE_URL=http://10.0.0.1/v1"}, "my_vllm"},
        {{"PROVIDER_MY_VLLM_BASE_URL=http://10.0.0.1/v1", "PROVIDER_MY_VLLM_ENABLED=no"}, "demo"},
        {{"PROVIDER_MY_VLLM_BASE_URL=http://10.0.0.1/v1", "MY_VLLM_ENABLED=no"}, "demo"},
        {{"PROVIDER_GROQ_BASE_URL=http://10.0.0.1/v1"}, "groq"},
        {{"PROVIDER_CLAUDE_BASE_URL=http://10.0.0.1", "PROVIDER_CLAUDE_FORMAT=anthropic"}, "demo"},
        {{"ANTHROPIC_API_KEY=sk-ant"}, "demo"},
        {{"MISTRAL_API_KEY=k", "GEMINI_API_KEY=k", "DEEPSEEK_API_KEY=k"},
         "deepseek gemini mistral"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct opened opened;
        struct buffer names;
        buffer_init(&names, 1024);
        assert_opens(&opened, *state, cases[i].environment);
        for (size_t k = 0; k < opened.catalogue->provider_count; k++) {
            buffer_append_text(&names, k == 0 ? "" : " ");
            buffer_append_text(&names, opened.catalogue->providers[k].name);
        }
        assert_string_equal(buffer_text(&names), cases[i].names);
        buffer_release(&names);
        close_catalogue(&opened);
    }
}

static void addresses_keys_and_models_come_from_the_settings(void **state)
{
    struct opened opened;
    assert_opens(&opened, *state,
                 ENVIRONMENT("PROVIDER_STUB_BASE_URL=http://127.0.0.1:1/v1//",
                             "PROVIDER_STUB_API_KEY=one", "STUB_MODELS= a , b/c,,",
                             "GROQ_API_KEY=k", "GROQ_BASE_URL=http://proxy/groq",
                             "GROQ_MODELS=[\"x,y\"]"));
    const struct provider *provider;
    const struct provider_model *model =
        catalogue_find_model(opened.catalogue, slice_of("stub/b/c"), &provider);
    assert_non_null(model);
    assert_string_equal(model->full_id, "stub/b/c");
    assert_string_equal(provider->url, "http://127.0.0.1:1/v1/chat/completions");
    assert_string_equal(provider->models_url, "http://127.0.0.1:1/v1/models");
    assert_string_equal(provider->authorization, "Authorization: Bearer one");
    assert_int_equal(provider->model_count, 2);
    assert_non_null(catalogue_find_model(opened.catalogue, slice_of("x,y"), &provider));
    assert_string_equal(provider->url, "http://proxy/groq/chat/completions");
    assert_null(catalogue_find_model(opened.catalogue, slice_of("stub/nope"), &provider));
    close_catalogue(&opened);
}

static void a_model_finds_its_provider(void **state)
{
    struct opened opened;
    assert_opens(&opened, *state,
                 ENVIRONMENT("OPENAI_API_KEY=k", "OPENROUTER_API_KEY=k", "GROQ_API_KEY=k",
                             "DEFAULT_PROVIDER=openrouter", "GROQ_MODELS=llama,shared",
                             "OPENAI_MODELS=gpt-4o,shared", "DEMO_ENABLED=true"));
    static const struct {
        const char *given;
        const char *provider;
        const char *model;
    } cases[] = {
        {"openai/gpt-4o", "openai", "gpt-4o"},
        {"openai/anything-else", "openai", "anything-else"},
        {"gpt-4o", "openai", "gpt-4o"},
        {"llama", "groq", "llama"},
        {"shared", "openai", "shared"},
        {"unknown", "openrouter", "unknown"},
        {"meta-llama/llama-3", "openrouter", "meta-llama/llama-3"},
        {"openrouter/meta-llama/llama-3", "openrouter", "meta-llama/llama-3"},
        {"openrouter/auto", "openrouter", "openrouter/auto"},
        {"demo/echo", "demo", "echo"},
        {"demo/nope", NULL, NULL},
        {"openai/", NULL, NULL},
        /* Nobody's, though the default provider might take them. */
        {"anthropic/claude", NULL, NULL},
        {"Anthropic/claude", NULL, NULL},
        {"deepseek/deepseek-chat", NULL, NULL},
        {"google/gemini-pro", NULL, NULL},
        {"openrouter/anthropic/claude", "openrouter", "anthropic/claude"},
        {"anthropic", "openrouter", "anthropic"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_chosen(&opened, cases[i].given, cases[i].provider, cases[i].model);
    }
    close_catalogue(&opened);
}

static void a_company_is_passed_by_only_where_a_provider_lists_its_model(void **state)
{
    struct opened opened;
    assert_opens(&opened, *state,
                 ENVIRONMENT("OPENROUTER_API_KEY=k", "PROVIDER_OWN_BASE_URL=http://127.0.0.1:1/v1",
                             "OPENROUTER_MODELS=anthropic/claude", "OWN_MODELS=google/gemma"));
    assert_chosen(&opened, "anthropic/claude", "openrouter", "anthropic/claude");
    assert_chosen(&opened, "google/gemma", "own", "google/gemma");
    assert_chosen(&opened, "google/gemma-2", NULL, NULL);
    assert_chosen(&opened, "openai/gpt", NULL, NULL);
    close_catalogue(&opened);
}

static void the_label_of_a_model_is_one_of_the_catalogue(void **state)
{
    struct opened opened;
    struct arena arena;
    assert_opens(&opened, *state,
                 ENVIRONMENT("OPENAI_API_KEY=k", "OPENAI_MODELS=listed",
                             "MODEL_PRICES={\"openai/priced\":\"1/2\"}"));
    static const struct {
        const char *given;
        const char *label;
    } cases[] = {{"openai/listed", "listed"},
                 {"listed", "listed"},
                 {"openai/priced", "priced"},
                 {"openai/invented-1", "other"},
                 {"invented-2", "other"}};
    arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct model_choice choice;
        assert_int_equal(
            catalogue_choose(opened.catalogue, &arena, slice_of(cases[i].given), &choice),
            STATUS_OK);
        assert_string_equal(choice.label, cases[i].label);
    }
    arena_destroy(&arena);
    close_catalogue(&opened);
}

static void a_server_without_a_list_is_asked_for_its_default(void **state)
{
    struct opened opened;
    struct model_choice choice;
    assert_opens(&opened, *state, ENVIRONMENT("PROVIDER_LOCAL_BASE_URL=http://127.0.0.1:1/v1"));
    assert_int_equal(catalogue_choose_default(opened.catalogue, &opened.arena, &choice), STATUS_OK);
    assert_string_equal(choice.full_id, "local/default");
    assert_null(choice.provider->authorization);
    close_catalogue(&opened);
}

static void prices_belong_to_full_names(void **state)
{
    struct opened opened;
    struct model_choice choice;
    assert_opens(
        &opened, *state,
        ENVIRONMENT("OPENAI_API_KEY=k",
                    "MODEL_PRICES={\"openai/gpt-4o\":\"2.5/10\",\"openai/x\":\"0/0.15\"}"));
    assert_int_equal(catalogue_choose(opened.catalogue, &opened.arena, slice_of("gpt-4o"), &choice),
                     STATUS_OK);
    assert_true(choice.price->input == 2.5 && choice.price->output == 10);
    assert_int_equal(
        catalogue_choose(opened.catalogue, &opened.arena, slice_of("openai/x"), &choice),
        STATUS_OK);
    assert_true(choice.price->input == 0 && choice.price->output == 0.15);
    assert_int_equal(
        catalogue_choose(opened.catalogue, &opened.arena, slice_of("openai/y"), &choice),
        STATUS_OK);
    assert_null(choice.price);
    close_catalogue(&opened);
}

static void settings_that_cannot_be_used_are_refused_in_one_line(void **state)
{
    static const struct {
        const char *environment[4];
        const char *names;
    } cases[] = {
        {{"DEFAULT_PROVIDER=groq"}, "DEFAULT_PROVIDER"},
        {{"OPENAI_API_KEY=k", "DEFAULT_PROVIDER=demo"}, "DEFAULT_PROVIDER"},
        {{"MODEL_PRICES={\"a/b\":\"1\"}"}, "MODEL_PRICES"},
        {{"MODEL_PRICES={\"a/b\":\"1/\"}"}, "MODEL_PRICES"},
        {{"MODEL_PRICES={\"a/b\":\"-1/2\"}"}, "MODEL_PRICES"},
        {{"MODEL_PRICES={\"a/b\":\"1/2/3\"}"}, "MODEL_PRICES"},
        {{"MODEL_PRICES={\"a/b\":\"1e9/2\"}"}, "MODEL_PRICES"},
        {{"OPENAI_API_KEY=k", "OPENAI_MODELS=[\"a\""}, "openai"},
        {{"OPENAI_API_KEY=k", "OPENAI_MODELS=[1]"}, "openai"},
        {{"PROVIDER_DEMO_BASE_URL=http://127.0.0.1/v1"}, "DEMO"},
        {{"PROVIDER_A/B_BASE_URL=http://127.0.0.1/v1"}, "48 letters"},
        {{"PROVIDER_A B_BASE_URL=http://127.0.0.1/v1"}, "48 letters"},
        {{"PROVIDER_N123456789N123456789N123456789N123456789N12345678_BASE_URL=http://127.0.0.1/"
          "v1"},
         "48 letters"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fixture *fixture = *state;
        struct opened opened;
        assert_int_equal(open_catalogue(&opened, fixture, cases[i].environment), STATUS_INVALID);
        assert_null(opened.catalogue);
        assert_one_line(buffer_text(&fixture->problem));
        assert_holds(buffer_text(&fixture->problem), cases[i].names);
        arena_destroy(&opened.arena);
    }
}

static void running_out_of_memory_is_told(void **state)
{
    struct fixture *fixture = *state;
    assert_loads(fixture,
                 ENVIRONMENT("OPENAI_API_KEY=k", "PROVIDER_A_BASE_URL=http://a/v1",
                             "A_MODELS=[\"x\",\"y\"]", "MODEL_PRICES={\"a/x\":\"1/2\"}"),
                 NULL);
    enum status status = STATUS_NO_MEMORY;
    for (unsigned long n = 1; status != STATUS_OK; n++) {
        struct catalogue *catalogue;
        memory_fail_after(n);
        status = catalogue_create(&catalogue, fixture->config, &fixture->problem);
        memory_fail_after(0);
        assert_true(status == STATUS_OK || status == STATUS_NO_MEMORY);
        catalogue_release(catalogue);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(without_any_provider_the_demo_answers_for_its_own_models),
        CONFIG_TEST(a_key_switches_a_known_provider_on),
        CONFIG_TEST(what_switches_providers_on_and_off),
        CONFIG_TEST(addresses_keys_and_models_come_from_the_settings),
        CONFIG_TEST(a_model_finds_its_provider),
        CONFIG_TEST(a_company_is_passed_by_only_where_a_provider_lists_its_model),
        CONFIG_TEST(the_label_of_a_model_is_one_of_the_catalogue),
        CONFIG_TEST(a_server_without_a_list_is_asked_for_its_default),
        CONFIG_TEST(prices_belong_to_full_names),
        CONFIG_TEST(settings_that_cannot_be_used_are_refused_in_one_line),
        CONFIG_TEST(running_out_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
