/**
 * Plays attacks against one victim on each runtime; ASOC_VICTIM=node, bun or deno chooses one of them, ASOC_ATTACK=TEXT those with that in
 * their title.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { PeerOptions } from "../process/peer.ts";
import { RUNTIMES, type RuntimeName } from "../support/process.ts";
import { content, makeSelfSigned } from "../support/tls.ts";
import { type Attack, note } from "./attack.ts";
import { Scene } from "./scene.ts";

/** Long enough, and of this process: nobody's key. */
const KEY = "a key of the adversary tests, 0123456789abcdef";

const { ASOC_VICTIM: chosen, ASOC_ATTACK: part = "" } = process.env;
export const VICTIMS: readonly RuntimeName[] = RUNTIMES.filter(
  (name) => chosen === undefined || chosen === name,
);

/** A test for each attack on each runtime; after each, the good peer's next tensor has to arrive whole. */
export function playAll(attacks: readonly Attack<Scene>[], options: PeerOptions = {}): void {
  const where = options.tls ? ", over TLS" : "";
  for (const runtime of VICTIMS) {
    let started: Promise<Scene> | undefined;
    const played = attacks.filter(({ onlyOverTls }) => options.tls || !onlyOverTls);
    for (const attack of played.filter(({ title }) => title.includes(part))) {
      test(`${runtime}: ${attack.title}${where}`, { timeout: 60_000 }, async () => {
        started ??= Scene.start(runtime, KEY, options);
        const scene = await started;
        const named = await attack.play(scene);
        await scene.goesOn();
        note(runtime, attack, named, Boolean(options.tls));
      });
    }
    test(`${runtime}: nothing is left of the adversary, and nothing was written to stderr${where}`, async () => {
      started ??= Scene.start(runtime, KEY, options);
      const { victim } = await started;
      await victim.statsUntil(({ connections }) => Number(connections) <= 1, 20_000);
      assert.equal(victim.process.stderr, "");
      assert.equal(victim.process.child.exitCode, null, "it runs");
    });
    after(async () => {
      await (await started?.catch(() => undefined))?.[Symbol.asyncDispose]();
    });
  }
}

/** The same over TLS, as far as an attack has anything to do with it. */
export async function playAllOverTls(attacks: readonly Attack<Scene>[]): Promise<void> {
  const { certificatePem: cert, keyPem: key } = await makeSelfSigned(content());
  playAll(
    attacks.filter(({ notOverTls }) => notOverTls === undefined),
    { tls: { cert, key } },
  );
}
