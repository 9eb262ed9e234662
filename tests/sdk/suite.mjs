// A suite of its own for these tests: script/server on a free port, ended with them.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const KEY = "sk-sdk-tests-0000000";
const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

function freePort() {
  return new Promise((done) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });
}

// environment: settings beside the defaults of these tests. Resolves when the suite is ready.
export async function startSuite(environment = {}) {
  const state = mkdtempSync(join(tmpdir(), "quintet-sdk-"));
  const port = await freePort();
  const child = spawn(join(root, "script/server"),
    ["--no-build", "--port", String(port), "--state", state], {
      env: {
        PATH: process.env.PATH, HOME: process.env.HOME ?? "/", QUINTET_CONFIG: "/dev/null",
        QUINTET_BUILD_DIR: process.env.QUINTET_BUILD_DIR ?? join(root, "build"),
        METRICS_PORT: "0", RATE_LIMIT_ENABLED: "false", API_KEYS: KEY, DEMO_ENABLED: "true",
        ...environment,
      },
    });
  let output = "";
  await new Promise((ready, fail) => {
    const timer = setTimeout(() => fail(new Error(`not ready: ${output}`)), 60000);
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (data) => {
        output += data;
        if (output.includes("ready http://")) {
          clearTimeout(timer);
          ready();
        }
      });
    }
    child.on("exit", (code) => fail(new Error(`ended with ${code}: ${output}`)));
  });
  return {
    url: `http://127.0.0.1:${port}`,
    stop: () => new Promise((done) => {
      child.removeAllListeners("exit");
      child.on("exit", () => {
        rmSync(state, { recursive: true, force: true });
        done();
      });
      child.kill("SIGTERM");
    }),
  };
}
