/*
 * The requests of the chat program while memory runs out: completions, with the built-in provider
 * and with one on this machine, and turns of a session.
 */
#include "../unit/keyed_calls.h"
#include "../unit/upstream_server.h"
#include "libraries.h"
#include "state.h"

#include "fcgi-apps/chat/routes.h"

static struct upstream_server provider;

/* A ledger entry that could not be written for want of memory is kept, and is written now. */
static bool write_kept_entries(struct pipeline *pipeline)
{
    struct chat *chat = pipeline->app->state;
    bool has_any = chat->ledger.first != NULL;
    chat->ledger.rest_until = 0;
    ledger_queue_flush(&chat->ledger);
    assert_null(chat->ledger.first);
    return has_any;
}

static int set_up(void **state)
{
    state_settle = write_kept_entries;
    return pipeline_set_up_settings(state, &chat_options, SETTINGS("RATE_LIMIT_ENABLED=false"));
}

static int set_up_provider(void **state)
{
    char setting[100];
    state_settle = write_kept_entries;
    server_start(&provider, NULL);
    snprintf(setting, sizeof setting, "PROVIDER_STUB_BASE_URL=http://127.0.0.1:%d/v1",
             provider.port);
    return pipeline_set_up_settings(state, &chat_options,
                                    SETTINGS("RATE_LIMIT_ENABLED=false", setting));
}

static int tear_down_provider(void **state)
{
    server_stop(&provider);
    return pipeline_tear_down(state);
}

#define COMPLETIONS    "/v1/chat/completions"
#define HI             "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define DEMO           "\"model\":\"demo/echo\","
#define STUB           "\"model\":\"stub/words\","
#define STREAM         "\"stream\":true,"
#define SAY(at, model) POST(at, "{\"session_id\":\"s\"," model "\"message\":\"hello\"}")

/* --- Completions ---------------------------------------------------------------------------- */

/* An answer that has been paid for is given, even when the ledger cannot be written; one that breaks
 * off has cost less; and a call that was sent and failed is in the ledger all the same, for nothing. */
static bool ledger_is_sound(struct torture_state *state, struct torture_result result)
{
    int64_t entries = state_number(state, "SELECT count(*) FROM ledger");
    int64_t refused = state_number(state, "SELECT count(*) FROM ledger WHERE outcome <> 'failed' "
                                          "OR input_tokens + output_tokens > 0");
    switch (result.outcome) {
    case TORTURE_WHOLE:
        return !state->is_changed;
    case TORTURE_CUT_OFF:
        return entries <= 1;
    default:
        return entries <= 1 && refused == 0;
    }
}

static void a_completion_is_whole_or_503(void **state)
{
    torture_state_with(*state, POST(COMPLETIONS, "{" DEMO HI "}"), false, ledger_is_sound);
    torture_request(*state, POST(COMPLETIONS, "{" DEMO "\"messages\":[7]}"), 400);
    torture_request(*state, GET("/v1/models"), 200);
}

static void a_passed_on_completion_is_whole_or_503(void **state)
{
    torture_state_with(*state, POST(COMPLETIONS, "{" STUB HI "}"), false, ledger_is_sound);
}

static void a_stream_that_breaks_off_does_not_look_complete(void **state)
{
    torture_state_with(*state, POST(COMPLETIONS, "{" STUB STREAM HI "}"), true, ledger_is_sound);
}

/* --- Sessions ------------------------------------------------------------------------------- */

/* Beside all and nothing: the question with as much of the answer as there was when the client
 * was lost, or nothing but what it has cost. The lock is given back; as long as there is no memory
 * for that either, it ends by itself. */
static bool turn_is_sound(struct torture_state *state, struct torture_result result)
{
    static const char counts[] = "SELECT count(*) FROM conversations WHERE message_count <> "
                                 "(SELECT count(*) FROM messages WHERE conversation = number)";
    int64_t locks =
        state_number(state, "SELECT count(*) FROM conversations WHERE lock_token <> ''");
    return result.outcome != TORTURE_WHOLE && (locks == 0 || result.failures > 1) &&
           state_number(state, counts) == 0 &&
           state_number(state, "SELECT count(*) % 2 FROM messages") == 0 &&
           state_number(state, "SELECT count(*) FROM ledger") <= 1;
}

static void a_turn_is_kept_when_it_was_answered(void **state)
{
    torture_state_with(*state, SAY("/chat", DEMO), false, turn_is_sound);
}

static void a_passed_on_turn_is_kept_when_it_was_answered(void **state)
{
    torture_state_with(*state, SAY("/chat", STUB), false, turn_is_sound);
}

static void a_streamed_turn_is_kept_when_it_was_answered(void **state)
{
    torture_state_with(*state, SAY("/chat/stream", STUB), true, turn_is_sound);
}

static void sessions_are_read_cleared_and_deleted_as_a_whole(void **state)
{
    struct pipeline *pipeline = *state;
    assert_answers(pipeline, SAY("/chat", DEMO), 200);
    torture_request(pipeline, GET("/chat/sessions"), 200);
    torture_request(pipeline, GET("/chat/sessions/s"), 200);
    torture_request(pipeline, GET("/chat/sessions/s/messages"), 200);
    torture_request(pipeline, GET("/chat/models"), 200);
    torture_request(pipeline, CALL(.method = "POST", .path = "/chat/sessions/s/clear", KEY), 200);
    torture_request(pipeline, CALL(.method = "DELETE", .path = "/chat/sessions/s", KEY), 204);
}

int main(void)
{
#define DEMO_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, pipeline_tear_down)
#define STUB_TEST(test) cmocka_unit_test_setup_teardown(test, set_up_provider, tear_down_provider)
    const struct CMUnitTest tests[] = {
        DEMO_TEST(a_completion_is_whole_or_503),
        STUB_TEST(a_passed_on_completion_is_whole_or_503),
        STUB_TEST(a_stream_that_breaks_off_does_not_look_complete),
        DEMO_TEST(a_turn_is_kept_when_it_was_answered),
        STUB_TEST(a_passed_on_turn_is_kept_when_it_was_answered),
        STUB_TEST(a_streamed_turn_is_kept_when_it_was_answered),
        DEMO_TEST(sessions_are_read_cleared_and_deleted_as_a_whole),
    };
    libraries_use_our_memory();
    return cmocka_run_group_tests_name("torture_chat", tests, NULL, NULL);
}
