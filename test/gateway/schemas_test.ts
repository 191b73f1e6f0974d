/** What the OpenAPI document says of members that are not what they seem. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, fakeGateway } from "./stub_node.ts";

test("the document says that the runtime of a peer is null where it says none, and it is", async () => {
  using fake = fakeGateway();
  const { components } = (await (await ask(fake.gateway, "/v1/openapi.json")).json()) as {
    components: { schemas: { Peer: { properties: { runtime: { description?: string } } } } };
  };
  assert.match(components.schemas.Peer.properties.runtime.description ?? "", /null for a v0.1 peer/);
  const { peers } = (await (await ask(fake.gateway, "/v1/peers")).json()) as { peers: { runtime: null }[] };
  assert.equal(peers[0]?.runtime, null);
});
