/** The answer that carries a tensor. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, fakeGateway } from "../stub_node.ts";

test("HEAD passes over Range: 200, with the length of the whole", async () => {
  using fake = fakeGateway();
  fake.node.pass("t", new Uint8Array(100));
  const path = "/v1/topics/t/latest.bin";
  for (const range of ["bytes=0-9", "bytes=1000-"]) {
    const response = await ask(fake.gateway, path, { method: "HEAD", headers: { range } });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-length"), "100");
    assert.equal(response.headers.get("content-range"), null);
  }
  const part = await ask(fake.gateway, path, { headers: { range: "bytes=0-9" } });
  assert.equal(part.status, 206);
  assert.equal((await part.arrayBuffer()).byteLength, 10);
});
