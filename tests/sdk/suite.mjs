// A running suite and a provider for it, for the tests of client libraries.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

/** Starts script/server with a state directory of its own; resolves to { url, stop }. */
export async function startSuite(environment) {
  const state = await mkdtemp(join(tmpdir(), "quintet-sdk-"));
  const port = await freePort();
  const server = spawn(
    join(root, "script/server"),
    ["--no-build", "--port", String(port), "--state", state],
    {
      env: {
        PATH: process.env.PATH,
        QUINTET_BUILD_DIR: process.env.QUINTET_BUILD_DIR ?? join(root, "build"),
        QUINTET_CONFIG: "/dev/null",
        METRICS_PORT: "0",
        RATE_LIMIT_ENABLED: "false",
        ...environment,
      },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const ended = once(server, "exit");
  let output = "";
  await new Promise((ready, failed) => {
    const hear = (data) => {
      output += data;
      if (output.includes("ready http://")) ready();
    };
    server.stdout.on("data", hear);
    server.stderr.on("data", hear);
    ended.then(() => failed(new Error(`the suite did not start:\n${output}`)));
  });
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      server.kill("SIGTERM");
      await ended;
      await rm(state, { recursive: true, force: true });
    },
  };
}

/** A provider in OpenAI's format. The model's name says what it does; `requests` is what came. */
export async function startProvider() {
  const requests = [];
  const server = createHttpServer(async (request, response) => {
    let body = "";
    for await (const data of request) body += data;
    if (request.method === "GET") {
      // The health program asks for the list of models.
      response.writeHead(200, { "content-type": "application/json" });
      response.end('{"object":"list","data":[]}');
      return;
    }
    const asked = JSON.parse(body);
    const record = { body: asked, headers: request.headers, closed: false };
    requests.push(record);
    response.on("close", () => (record.closed = !response.writableFinished));
    behaviours[asked.model](response, asked, request);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}/v1`,
    requests,
    count: (model) => requests.filter((request) => request.body.model === model).length,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function chunk(response, delta, finish_reason = null) {
  const value = {
    id: "chatcmpl-sdk",
    object: "chat.completion.chunk",
    created: 1700000000,
    model: "m",
    choices: [{ index: 0, delta, finish_reason }],
  };
  response.write(`data: ${JSON.stringify(value)}\n\n`);
}

function refuse(response, status, headers = {}) {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify({ error: { message: "no", type: "t", param: null, code: null } }));
}

const sse = { "content-type": "text/event-stream" };

const behaviours = {
  truncated(response) {
    response.writeHead(200, sse);
    chunk(response, { role: "assistant", content: "Hel" });
    chunk(response, { content: "lo" });
    response.end("data: [DONE]\n\n");
  },
  "no-role"(response) {
    response.writeHead(200, sse);
    chunk(response, { content: "Hello" });
    chunk(response, {}, "stop");
    response.end("data: [DONE]\n\n");
  },
  "no-index"(response) {
    response.writeHead(200, sse);
    const call = { id: "call_1", type: "function", function: { name: "f", arguments: "{}" } };
    chunk(response, { role: "assistant", content: null, tool_calls: [call] });
    chunk(response, {}, "tool_calls");
    response.end("data: [DONE]\n\n");
  },
  "for-ever"(response) {
    response.writeHead(200, sse);
    const timer = setInterval(() => chunk(response, { content: "x" }), 20);
    response.on("close", () => clearInterval(timer));
  },
  limited: (response) => refuse(response, 429, { "retry-after": "2" }),
  overloaded: (response) => refuse(response, 529),
  "bad-key": (response) => refuse(response, 401),
  refused: (response) => refuse(response, 400),
  html(response) {
    response.writeHead(200, { "content-type": "text/html" });
    response.end("<html>hello</html>");
  },
};
