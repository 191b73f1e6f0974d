/**
 * Schemathesis makes requests of the served OpenAPI document, right ones and wrong ones: nothing is answered with 5xx,
 * and every answer is one that the document describes. On Node.js; on all runtimes with ASOC_SCHEMATHESIS=all.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { SKIP_WITHOUT_PYTHON, VENV } from "../interop/python.ts";
import { Process, RUNTIMES } from "../support/process.ts";
import { bytesOf } from "./bodies.ts";
import { GatewayPair, getJson } from "./pair.ts";

const SCHEMATHESIS = join(VENV, "bin", "st");
/** It goes on until then. */
const MAX_TIME_SECONDS = 50;
const SEED = 5;
const MOST_MS = (MAX_TIME_SECONDS + 70) * 1000;
/** Answers that do not end, or that wait for a tensor which nobody sends. */
const ENDLESS = String.raw`/(events|stream|ws|next)(\.\w+)?$`;

/**
 * That wrong data is refused, and right data is not, cannot be asked: only the gateway knows its topics, peers and
 * streams, and a body is a tensor file, which no schema describes.
 */
const CHECKS = [
  "not_a_server_error",
  "status_code_conformance",
  "content_type_conformance",
  "response_headers_conformance",
  "response_schema_conformance",
  "unsupported_method",
  "allow_header_conformance",
];

const chosen = process.env.ASOC_SCHEMATHESIS === "all" ? RUNTIMES : (["node"] as const);

for (const runtime of chosen) {
  test(`Schemathesis finds nothing wrong with a gateway on ${runtime}`, {
    skip: SKIP_WITHOUT_PYTHON,
  }, async (context) => {
    // All requests come from one address, as fast as they can.
    const limits = { requestsPerSecond: 1e9, requestBurst: 1e9 };
    await using pair = await GatewayPair.start(runtime, { limits });
    const { url } = pair.near;
    await pair.send("some/tensor", bytesOf(new Float32Array(12)), {
      "asoc-dtype": "float32",
      "asoc-shape": "3,4",
    });
    const folder = mkdtempSync(join(tmpdir(), "asoc-schemathesis-"));
    context.after(() => rmSync(folder, { recursive: true }));
    const command = [
      SCHEMATHESIS,
      "run",
      `${url}/v1/openapi.json`,
      ...["--exclude-path-regex", ENDLESS],
      ...["--checks", CHECKS.join(",")],
      ...["--phases", "examples,coverage,fuzzing"],
      ...["--max-time", String(MAX_TIME_SECONDS)],
      ...["--seed", String(SEED)],
      ...["--request-timeout", "10"],
      ...["--suppress-health-check", "all"],
      ...["--warnings", "off"],
      "--no-shrink",
      "--no-color",
    ] as const;
    await using schemathesis = new Process(command, { cwd: folder });
    const code = await schemathesis.exitWithin(MOST_MS);
    const output = (schemathesis.stdout + schemathesis.stderr).slice(0, 12_000);
    assert.equal(code, 0, output);
    const tested = Number(/Tested: (\d+)/.exec(schemathesis.stdout)?.[1]);
    assert.ok(tested >= 20, `${tested} operations were tested\n${output}`);
    const { peers } = (await getJson(`${url}/v1/peers`)) as { peers: unknown[] };
    assert.equal(peers.length, 1, "the peer is still there");
  });
}
