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

interface Operation {
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, unknown>>; readonly headers?: object }>
  >;
}

test("the document names the headers, parts and statuses of each route", async () => {
  using fake = fakeGateway();
  const { paths } = (await (await ask(fake.gateway, "/v1/openapi.json")).json()) as {
    paths: Record<string, Record<"get" | "post", Operation>>;
  };
  const headersIn = (operation: Operation | undefined) =>
    (operation?.parameters ?? []).filter((one) => one.in === "header").map(({ name }) => name);
  const tensors = Object.keys(paths).filter((path) => /\/(data|latest|next)(\.\w+)?$/.test(path));
  assert.equal(tensors.length, 15);
  for (const path of tensors) {
    const get = paths[path]?.get;
    assert.deepEqual(headersIn(get), ["range", "if-range", "if-none-match"], path);
    for (const status of ["304", "416"]) assert.ok(get?.responses[status], `${path} ${status}`);
    const whole = Object.keys(get?.responses[200]?.headers ?? {});
    assert.deepEqual(whole.slice(0, 3), ["ETag", "Accept-Ranges", "Asoc-Dtype"]);
    assert.deepEqual(Object.keys(get?.responses[206]?.headers ?? {}), [...whole, "Content-Range"]);
    assert.deepEqual(get?.responses[206]?.content, get?.responses[200]?.content);
  }
  for (const path of ["/v1/events", "/v1/topics/{topic}/events"])
    assert.deepEqual(headersIn(paths[path]?.get), ["last-event-id"]);
  for (const path of ["/v1/topics/{topic}", "/v1/peers/{id}/streams"])
    assert.deepEqual(
      headersIn(paths[path]?.post),
      ["dtype", "shape", "priority", "deadline-ms", "digest", "metadata"].map((name) => `asoc-${name}`),
    );
  const unready = Object.keys(paths["/v1/health"]?.get.responses[503]?.content ?? {});
  assert.deepEqual(unready.sort(), ["application/json", "application/problem+json"]);
  for (const methods of Object.values(paths))
    for (const { responses } of Object.values(methods)) assert.ok(responses[408] && responses[431]);
});
