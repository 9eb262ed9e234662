// The official OpenAI client, unchanged: only its base URL and key are set.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import OpenAI from "openai";
import { KEY, startSuite } from "./suite.mjs";

const MESSAGES = [{ role: "user", content: "Good morning" }];
const TOOLS = [{
  type: "function",
  function: {
    name: "get_weather",
    description: "Weather of a place",
    parameters: { type: "object", properties: { place: { type: "string" } }, required: ["place"] },
  },
}];
let suite;
let client;

before(async () => {
  suite = await startSuite();
  client = new OpenAI({ baseURL: `${suite.url}/v1`, apiKey: KEY });
});
after(() => suite.stop());

test("a completion comes back whole, with usage and a request id", async () => {
  const { data, request_id: id } =
    await client.chat.completions.create({ model: "demo/echo", messages: MESSAGES }).withResponse();
  assert.equal(data.object, "chat.completion");
  assert.equal(data.choices[0].message.role, "assistant");
  assert.match(data.choices[0].message.content, /Good morning/);
  assert.equal(data.choices[0].finish_reason, "stop");
  assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
  assert.match(id, /^[0-9a-f-]{36}$/);
});

test("a stream arrives in pieces that make the same answer", async () => {
  const whole = await client.chat.completions.create({ model: "demo/echo", messages: MESSAGES });
  const stream = await client.chat.completions.create({
    model: "demo/echo", messages: MESSAGES, stream: true, stream_options: { include_usage: true },
  });
  let text = "";
  let pieces = 0;
  let usage = null;
  let finish = null;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    pieces += chunk.choices[0]?.delta?.content ? 1 : 0;
    finish = chunk.choices[0]?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.ok(pieces > 3);
  assert.equal(finish, "stop");
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
});

test("the stream helper accepts every chunk", async () => {
  const final = await client.chat.completions
    .stream({ model: "demo/echo", messages: MESSAGES }).finalChatCompletion();
  assert.equal(final.choices[0].finish_reason, "stop");
  assert.match(final.choices[0].message.content, /Good morning/);
});

for (const stream of [false, true]) {
  test(`a tool is asked for and its answer used${stream ? ", streamed" : ""}`, async () => {
    const messages = [{ role: "user", content: 'call get_weather {"place":"Bern"}' }];
    const request = { model: "demo/echo", messages, tools: TOOLS };
    const first = stream
      ? await client.chat.completions.stream(request).finalChatCompletion()
      : await client.chat.completions.create(request);
    assert.equal(first.choices[0].finish_reason, "tool_calls");
    const [call] = first.choices[0].message.tool_calls;
    assert.equal(call.function.name, "get_weather");
    assert.deepEqual(JSON.parse(call.function.arguments), { place: "Bern" });
    const second = await client.chat.completions.create({
      model: "demo/echo", tools: TOOLS,
      messages: [...messages, first.choices[0].message,
        { role: "tool", tool_call_id: call.id, content: "12 degrees" }],
    });
    assert.match(second.choices[0].message.content, /12 degrees/);
  });
}

test("models are listed and found", async () => {
  const list = await client.models.list();
  const ids = list.data.map((model) => model.id);
  assert.ok(ids.includes("demo/echo"), ids.join());
  assert.equal((await client.models.retrieve("demo/echo")).object, "model");
});

test("an unknown model is NotFoundError and tried once", async () => {
  await assert.rejects(client.chat.completions.create({ model: "demo/nothing", messages: MESSAGES }),
    (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found");
});

test("a wrong key is AuthenticationError", async () => {
  const stranger = new OpenAI({ baseURL: `${suite.url}/v1`, apiKey: "sk-wrong-key-0000000" });
  await assert.rejects(stranger.chat.completions.create({ model: "demo/echo", messages: MESSAGES }),
    OpenAI.AuthenticationError);
});

test("a request without messages is BadRequestError that names the parameter", async () => {
  await assert.rejects(client.chat.completions.create({ model: "demo/echo" }),
    (error) => error instanceof OpenAI.BadRequestError && error.param === "messages");
});

test("a stream that is aborted ends at once", async () => {
  const stream = await client.chat.completions.create({
    model: "demo/echo", stream: true,
    messages: [{ role: "user", content: "word ".repeat(1500) }],
  });
  let pieces = 0;
  for await (const chunk of stream) {
    pieces += chunk.choices.length;
    if (pieces === 5) {
      stream.controller.abort();
      break;
    }
  }
  assert.equal(pieces, 5);
});
