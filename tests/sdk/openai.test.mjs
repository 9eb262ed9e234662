// The official OpenAI library, unchanged: only its two environment variables point to the suite.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI from "openai";
import { startProvider, startSuite } from "./suite.mjs";

const key = "sk-sdk-test-key";
const hello = [{ role: "user", content: "hello" }];
const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "Weather of a city",
      parameters: { type: "object", properties: { city: { type: "string" } } },
    },
  },
];

let provider;
let suite;
let client;

before(async () => {
  provider = await startProvider();
  suite = await startSuite({
    UPSTREAM_RETRIES: "0", // what is counted is what the client repeats
    API_KEYS: key,
    DEMO_ENABLED: "true",
    PROVIDER_STUB_BASE_URL: provider.url,
    PROVIDER_STUB_API_KEY: "sk-upstream",
  });
  process.env.OPENAI_BASE_URL = `${suite.url}/v1`;
  process.env.OPENAI_API_KEY = key;
  client = new OpenAI();
});

after(async () => {
  await suite?.stop();
  await provider?.stop();
});

test("a completion is answered", async () => {
  const { data, response, request_id } = await client.chat.completions
    .create({ model: "demo/echo", messages: hello })
    .withResponse();
  assert.match(data.choices[0].message.content, /You said: hello/);
  assert.equal(data.choices[0].finish_reason, "stop");
  assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
  assert.equal(data._request_id, request_id);
  assert.equal(response.headers.get("x-request-id"), request_id);
});

test("a stream is read chunk by chunk", async () => {
  const stream = await client.chat.completions.create({
    model: "demo/echo",
    messages: hello,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  let usage = null;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.match(text, /You said: hello/);
  assert.ok(usage.completion_tokens > 0);
});

test("every chunk is the one OpenAI would send, with and without usage", async () => {
  for (const include_usage of [undefined, false, true]) {
    const stream = await client.chat.completions.create({
      model: "demo/echo",
      messages: hello,
      stream: true,
      ...(include_usage === undefined ? {} : { stream_options: { include_usage } }),
    });
    const chunks = [];
    for await (const chunk of stream) {
      chunks.push(chunk);
    }
    const last = include_usage ? chunks.pop() : null;
    assert.deepEqual(last?.choices, include_usage ? [] : undefined);
    assert.equal(last?.usage.total_tokens > 0, include_usage === true);
    for (const chunk of chunks) {
      assert.equal(chunk.choices.length, 1);
      assert.equal("usage" in chunk, include_usage === true);
      assert.equal(chunk.usage ?? null, null);
    }
  }
});

test("the stream helper puts the same answer together", async () => {
  const whole = await client.chat.completions.create({ model: "demo/echo", messages: hello });
  const stream = client.chat.completions.stream({ model: "demo/echo", messages: hello });
  const pieces = [];
  stream.on("content", (delta) => pieces.push(delta));
  const streamed = await stream.finalChatCompletion();
  assert.equal(streamed.choices[0].message.content, whole.choices[0].message.content);
  assert.equal(pieces.join(""), whole.choices[0].message.content);
  assert.equal(streamed.choices[0].message.role, "assistant");
});

test("tools are called and their results are read, streamed or not", async () => {
  const messages = [{ role: "user", content: 'call get_weather {"city":"Paris"}' }];
  for (const stream of [false, true]) {
    const asked = [];
    const runner = client.chat.completions.runTools({
      model: "demo/echo",
      messages,
      stream,
      tools: [
        {
          type: "function",
          function: {
            ...tools[0].function,
            parse: JSON.parse,
            function: ({ city }) => {
              asked.push(city);
              return `sunny in ${city}`;
            },
          },
        },
      ],
    });
    assert.match(await runner.finalContent(), /The tool answered: sunny in Paris/);
    assert.deepEqual(asked, ["Paris"]);
  }
});

test("a streamed tool call is the whole one", async () => {
  const body = {
    model: "demo/echo",
    tools,
    messages: [{ role: "user", content: 'call get_weather {"city":"Zürich","days":[1,2,3]}' }],
  };
  const whole = await client.chat.completions.create(body);
  const streamed = await client.chat.completions.stream(body).finalChatCompletion();
  assert.equal(whole.choices[0].finish_reason, "tool_calls");
  assert.equal(streamed.choices[0].finish_reason, "tool_calls");
  const pick = (choice) =>
    choice.message.tool_calls.map(({ type, function: { name, arguments: text } }) => ({
      type,
      name,
      text,
    }));
  assert.deepEqual(pick(streamed.choices[0]), pick(whole.choices[0]));
});

test("models are listed and found, also with a slash in their name", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.ok(names.includes("demo/echo"));
  assert.equal((await client.models.retrieve("demo/echo")).owned_by, "demo");
  await assert.rejects(client.models.retrieve("nope"), OpenAI.NotFoundError);
});

test("a provider without role or index is mended", async () => {
  const answer = await client.chat.completions
    .stream({ model: "stub/no-role", messages: hello })
    .finalChatCompletion();
  assert.equal(answer.choices[0].message.content, "Hello");
  const called = await client.chat.completions
    .stream({ model: "stub/no-index", messages: hello, tools })
    .finalChatCompletion();
  assert.equal(called.choices[0].message.tool_calls[0].function.name, "f");
});

test("a truncated stream throws, read raw or by the helper", async () => {
  const stream = await client.chat.completions.create({
    model: "stub/truncated",
    messages: hello,
    stream: true,
  });
  let text = "";
  const read = async () => {
    for await (const chunk of stream) text += chunk.choices[0].delta.content;
  };
  await assert.rejects(read(), (error) => {
    assert.ok(error instanceof OpenAI.APIError);
    assert.equal(error.code, "llm_bad_answer");
    assert.ok(error.requestID);
    return true;
  });
  assert.equal(text, "Hello");
  await assert.rejects(
    client.chat.completions.stream({ model: "stub/truncated", messages: hello }).finalMessage(),
  );
});

const failures = [
  ["limited", OpenAI.RateLimitError, 429, "rate_limit_exceeded"],
  ["overloaded", OpenAI.InternalServerError, 503, "llm_unavailable"],
  ["bad-key", OpenAI.InternalServerError, 503, "llm_unavailable"],
  ["refused", OpenAI.BadRequestError, 400, "invalid_request"], // the provider says null
  ["html", OpenAI.InternalServerError, 502, "llm_bad_answer"],
];

for (const [model, kind, status, code] of failures) {
  for (const stream of [false, true]) {
    test(`a provider that is ${model} is asked once (${stream ? "stream" : "whole"})`, async () => {
      const before = provider.count(model);
      await assert.rejects(
        client.chat.completions.create({ model: `stub/${model}`, messages: hello, stream }),
        (error) => {
          assert.ok(error instanceof kind, String(error));
          assert.equal(error.status, status);
          assert.equal(error.code, code);
          assert.ok(error.requestID);
          return true;
        },
      );
      assert.equal(provider.count(model), before + 1);
    });
  }
}

test("errors of the client have their class", async () => {
  const stranger = new OpenAI({ apiKey: "sk-wrong" });
  await assert.rejects(
    stranger.chat.completions.create({ model: "demo/echo", messages: hello }),
    OpenAI.AuthenticationError,
  );
  await assert.rejects(
    client.chat.completions.create({ model: "demo/nope", messages: hello }),
    (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found",
  );
  await assert.rejects(
    client.chat.completions.create({ model: "demo/echo", messages: [] }),
    (error) => error instanceof OpenAI.BadRequestError && error.param === "messages",
  );
});

test("aborting a stream lets the provider go", async () => {
  const stream = await client.chat.completions.create({
    model: "stub/for-ever",
    messages: hello,
    stream: true,
  });
  let chunks = 0;
  for await (const _ of stream) {
    if (++chunks === 5) break;
  }
  const record = provider.requests.findLast((request) => request.body.model === "for-ever");
  const end = Date.now() + 1000;
  while (!record.closed && Date.now() < end) await sleep(10);
  assert.ok(record.closed);
});

test("what the library sends arrives, and only our key goes on", async () => {
  await client.chat.completions
    .create({
      model: "stub/refused",
      messages: hello,
      temperature: 0.3,
      x_unknown: { kept: [1, 2.5] },
    })
    .catch(() => {});
  const { body, headers } = provider.requests.at(-1);
  assert.deepEqual(body, {
    model: "refused",
    messages: hello,
    temperature: 0.3,
    x_unknown: { kept: [1, 2.5] },
  });
  assert.equal(headers.authorization, "Bearer sk-upstream");
  assert.match(headers["user-agent"], /^quintet\//);
});
