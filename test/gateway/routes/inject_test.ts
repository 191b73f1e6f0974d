/** What an upload tells of the tensors that went before its end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { GatewayNode } from "../../../gateway/traffic/traffic.ts";
import { ask, type FakeNode, fakeGateway, PEER, verified } from "../stub_node.ts";

const HALF = 8;

/** Two tensors of eight bytes each, and as much of the second as is told. */
function safetensors(secondBytes: number): Uint8Array<ArrayBuffer> {
  const header = JSON.stringify({
    first: { dtype: "U8", shape: [HALF], data_offsets: [0, HALF] },
    second: { dtype: "U8", shape: [HALF], data_offsets: [HALF, 2 * HALF] },
  });
  const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
  const file = new Uint8Array(8 + padded.length + HALF + secondBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(padded.length), true);
  file.set(new TextEncoder().encode(padded), 8);
  return file;
}

/** It reads each tensor to its end, as a send does; what fails there is an outcome, not a throw. */
function reading(node: FakeNode): void {
  node.sendAll = (async (source: { data: AsyncIterable<Uint8Array> }) => {
    let bytes = 0;
    try {
      for await (const part of source.data) bytes += part.length;
    } catch (error) {
      return [{ peer: PEER, report: undefined, error }];
    }
    return verified(bytes);
  }) as unknown as GatewayNode["sendAll"];
}

/** Chunked: its length is not known before. */
function upload(bytes: Uint8Array<ArrayBuffer>): RequestInit {
  const body = new Blob([bytes]).stream();
  const headers = { "content-type": "application/vnd.safetensors" };
  return { method: "POST", headers, body, duplex: "half" } as RequestInit; // not in every runtime's types
}

interface Problem {
  readonly code: string;
  readonly results?: readonly { tensor: string; ok: boolean; bytes: number | null }[];
}

test("an upload that is cut off after its first tensor says that the first has arrived", async () => {
  using fake = fakeGateway();
  reading(fake.node);
  const response = await ask(fake.gateway, "/v1/topics/t", upload(safetensors(3)));
  const problem = (await response.json()) as Problem;
  assert.equal(response.status, 400);
  assert.equal(problem.code, "GATEWAY_BODY_TRUNCATED");
  assert.deepEqual(
    problem.results?.map(({ tensor, ok, bytes }) => ({ tensor, ok, bytes })),
    [
      { tensor: "first", ok: true, bytes: HALF },
      { tensor: "second", ok: false, bytes: null },
    ],
  );
});

test("a tensor that nobody takes ends an upload with all results so far", async () => {
  using fake = fakeGateway();
  fake.node.sendAll = () => Promise.resolve([{ peer: PEER, report: undefined, error: undefined }]);
  const response = await ask(fake.gateway, "/v1/topics/t", upload(safetensors(HALF)));
  const problem = (await response.json()) as Problem;
  assert.equal(response.status, 502);
  assert.equal(problem.code, "GATEWAY_SEND_FAILED");
  assert.equal(problem.results?.length, 1);
});

test("a body that is wrong from its beginning has no results", async () => {
  using fake = fakeGateway();
  const problem = (await (
    await ask(fake.gateway, "/v1/topics/t", upload(new Uint8Array(4)))
  ).json()) as Problem;
  assert.equal(problem.results, undefined);
});
