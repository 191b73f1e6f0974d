/** Every attack on the gateway (docs/security.md), against a real one on each runtime. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { note } from "./attack.ts";
import { GATEWAY_ATTACKS, GatewayScene, KEY } from "./gateway_attacks.ts";
import { VICTIMS } from "./play.ts";

for (const runtime of VICTIMS) {
  let started: Promise<GatewayScene> | undefined;
  for (const attack of GATEWAY_ATTACKS) {
    test(`${runtime}: ${attack.title}`, { timeout: 60_000 }, async () => {
      started ??= GatewayScene.start(runtime, KEY);
      const scene = await started;
      const named = await attack.play(scene);
      await scene.goesOn();
      note(runtime, attack, named);
    });
  }
  test(`${runtime}: the attacked gateway has not written to stderr`, async () => {
    started ??= GatewayScene.start(runtime, KEY);
    assert.equal((await started).process.stderr, "");
  });
  after(async () => {
    await (await started?.catch(() => undefined))?.[Symbol.asyncDispose]();
  });
}
