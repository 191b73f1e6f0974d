/** Which keys sign, which are believed, and until when (RFC-0102, Key ring). */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type KeyEntry, KeyRing, type KeyState } from "../../../src/core/auth/key_ring.ts";
import { keyId } from "../../../src/core/auth/proof.ts";
import { MAX_KEYS_TRIED, MAX_RING_KEYS } from "../../../src/core/limits.ts";
import { toHex, utf8 } from "../../../src/core/wire/bytes.ts";
import { testCrypto } from "../../support/core_crypto.ts";

const crypto = testCrypto();
const NOW_MS = 1_800_000_000_000;
const ringOf = (...entries: KeyEntry[]) => new KeyRing(entries, crypto, NOW_MS);
const idOf = (text: string) => toHex(keyId(utf8(text), crypto));
const key = (text: string, rest: Omit<KeyEntry, "key"> = {}): KeyEntry => ({ key: utf8(text), ...rest });
/** Overwritten. */
const isWiped = (bytes: Uint8Array) => bytes.every((byte) => byte === 0);
const ids = (keys: readonly { readonly id: string }[]) => keys.map(({ id }) => id);

test("the current key signs, and every key that holds is believed", () => {
  const ring = ringOf(key("old"), key("now", { state: "current", epoch: 2 }), key("next", { epoch: 3 }));
  assert.equal(ring.signing(NOW_MS)?.id, idOf("now"));
  assert.deepEqual(ids(ring.verifying(NOW_MS)), [idOf("now"), idOf("next"), idOf("old")]);
});

test("a key holds from its beginning until just before its end", () => {
  const ring = ringOf(
    key("a", { state: "current" }),
    key("b", { notBeforeMs: NOW_MS + 10, notAfterMs: NOW_MS + 20 }),
  );
  const holds = (atMs: number) => ring.holds(utf8("b"), atMs);
  assert.deepEqual(
    [9, 10, 19, 20].map((ms) => holds(NOW_MS + ms)),
    [false, true, true, false],
  );
  assert.equal(ring.nextChangeMs(NOW_MS), NOW_MS + 10);
  assert.equal(ring.nextChangeMs(NOW_MS + 10), NOW_MS + 20);
  assert.equal(ring.nextChangeMs(NOW_MS + 20), undefined);
});

test("while the current key does not hold the accepted one with the highest epoch signs", () => {
  const ring = ringOf(
    key("a", { state: "current", epoch: 3, notBeforeMs: NOW_MS + 1000 }),
    key("b", { epoch: 1 }),
    key("c", { epoch: 2 }),
    key("d", { state: "offered", epoch: 9 }),
  );
  assert.equal(ring.signing(NOW_MS)?.id, idOf("c"));
  assert.equal(ring.signing(NOW_MS + 1000)?.id, idOf("a"));
});

test("an offered key is believed and signs nothing", () => {
  const ring = ringOf(key("a", { state: "current" }), key("b", { state: "offered", epoch: 1 }));
  assert.ok(ring.holds(utf8("b"), NOW_MS));
  assert.deepEqual(ids(ring.signers(NOW_MS)), [idOf("a")]);
  assert.equal(ring.epoch, 0, "a key on offer does not count until it is committed");
  assert.equal(ring.forget(idOf("b")), true);
  assert.equal(ring.forget(idOf("a")), false, "only what is on offer can be taken back");
  assert.equal(ring.holds(utf8("b"), NOW_MS), false);
});

test("setCurrent() leaves the key before accepted, until the grace or its own end, whichever is sooner", () => {
  const ring = ringOf(key("a", { state: "current", notAfterMs: NOW_MS + 500 }), key("b", { epoch: 1 }));
  ring.setCurrent(idOf("b"), NOW_MS, { oldNotAfterMs: NOW_MS + 1000 });
  assert.equal(ring.find(idOf("a"))?.notAfterMs, NOW_MS + 500);
  ring.setCurrent(idOf("a"), NOW_MS, { oldNotAfterMs: NOW_MS + 1000 });
  assert.equal(ring.find(idOf("b"))?.notAfterMs, NOW_MS + 1000);
  assert.equal(ring.find(idOf("b"))?.state, "accepted");
});

test("revoke() ends a key at once, keeps its id, and lets nobody bring it back", () => {
  const ring = ringOf(key("a", { state: "current" }), key("b"));
  ring.revoke(idOf("a"), NOW_MS);
  assert.equal(ring.signing(NOW_MS)?.id, idOf("b"));
  assert.equal(ring.find(idOf("a"))?.key.length, 0, "its bytes are gone");
  assert.throws(() => ring.add(key("a"), NOW_MS), /was revoked/);
  assert.throws(() => ring.setCurrent(idOf("a"), NOW_MS), /was revoked/);
  assert.throws(() => ring.revoke(idOf("b"), NOW_MS), /no other key could sign/);
});

test("a fifth key that holds is refused, and nothing has changed then", () => {
  const ring = ringOf(
    key("a", { state: "current" }),
    key("b"),
    key("c"),
    key("d", { notAfterMs: NOW_MS + 5 }),
  );
  const before = ring.list(NOW_MS);
  assert.throws(() => ring.add(key("e"), NOW_MS), /at most 4 .*got 5; revoke one/);
  assert.deepEqual(ring.list(NOW_MS), before);
  assert.equal(ring.hasRoom(NOW_MS), false);
  ring.add(key("e"), NOW_MS + 5);
  assert.equal(ring.verifying(NOW_MS + 5).length, MAX_KEYS_TRIED);
});

test("keys that cannot be together are refused without showing one", () => {
  const cases: [KeyEntry[], RegExp][] = [
    [[key("secret one"), key("secret one")], /is there twice/],
    [
      [key("secret one", { state: "current" }), key("secret two", { state: "current" })],
      /one that is current, got 2/,
    ],
    [[key("secret one", { id: "00000000" })], /expected the id/],
    [[key("secret one", { notBeforeMs: 5, notAfterMs: 5 })], /ends before it begins/],
    [[key("secret one", { epoch: -1 })], /epoch from 0/],
    [[key("secret one", { notAfterMs: Number.NaN })], /milliseconds since 1970/],
    [[{ state: "accepted" }], /expected a key/],
    [[{ state: "revoked", id: "xyz" }], /expected a key/],
    [[key("x".repeat(1025))], /1 to 1024 bytes/],
  ];
  for (const [entries, message] of cases) {
    assert.throws(
      () => ringOf(...entries),
      (error) =>
        error instanceof RangeError && message.test(error.message) && !error.message.includes("secret"),
      String(message),
    );
  }
});

test("the ids of revoked keys are bounded: the oldest are forgotten first", () => {
  const ring = ringOf(key("current", { state: "current" }));
  for (let i = 0; i < 2 * MAX_RING_KEYS; i++) ring.revoke(ring.add(key(`key ${i}`), NOW_MS), NOW_MS);
  assert.equal(ring.list(NOW_MS).length, MAX_RING_KEYS);
  assert.equal(ring.find(idOf("key 0")), undefined);
  assert.equal(ring.find(idOf(`key ${2 * MAX_RING_KEYS - 1}`))?.state, "revoked");
});

test("a ring made from a snapshot is the same ring", () => {
  const ring = ringOf(
    key("a", { state: "current", epoch: 4 }),
    key("b", { notAfterMs: NOW_MS + 9 }),
    key("c"),
  );
  ring.revoke(idOf("c"), NOW_MS);
  const again = new KeyRing(ring.snapshot(), crypto, NOW_MS);
  assert.deepEqual(again.list(NOW_MS), ring.list(NOW_MS));
});

test("whatever is done to a ring: one current key at most, few that hold, and what throws changes nothing", () => {
  const name = fc.constantFrom("a", "b", "c", "d", "e", "f", "g");
  const end = fc.option(fc.integer({ min: -50, max: 300 }), { nil: undefined });
  const state = fc.constantFrom<KeyState>("current", "accepted", "offered");
  const step = fc.oneof(
    fc.record({ do: fc.constant("add" as const), name, state, end, epoch: fc.integer({ min: 0, max: 9 }) }),
    fc.record({ do: fc.constant("current" as const), name, grace: fc.integer({ min: 0, max: 200 }) }),
    fc.record({ do: fc.constantFrom("revoke" as const, "forget" as const), name }),
    fc.record({ do: fc.constant("end" as const), name, end }),
    fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 0, max: 100 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let nowMs = NOW_MS;
      const revoked = new Set<string>();
      const ring = ringOf(key("first", { state: "current" }));
      for (const one of steps) {
        const before = JSON.stringify(ring.list(nowMs));
        try {
          if (one.do === "wait") nowMs += one.ms;
          else if (one.do === "add") {
            const notAfterMs = one.end === undefined ? undefined : nowMs + one.end;
            ring.add(key(one.name, { state: one.state, epoch: one.epoch, notAfterMs }), nowMs);
          } else if (one.do === "current")
            ring.setCurrent(idOf(one.name), nowMs, { oldNotAfterMs: nowMs + one.grace });
          else if (one.do === "end")
            ring.setEnd(idOf(one.name), one.end === undefined ? undefined : nowMs + one.end, nowMs);
          else if (one.do === "forget") ring.forget(idOf(one.name));
          else {
            ring.revoke(idOf(one.name), nowMs);
            revoked.add(one.name);
          }
        } catch (error) {
          assert.ok(error instanceof RangeError, String(error));
          assert.equal(JSON.stringify(ring.list(nowMs)), before, "it threw and changed something");
        }
        const list = ring.list(nowMs);
        assert.ok(list.filter((shown) => shown.state === "current").length <= 1);
        assert.ok(list.length <= MAX_RING_KEYS);
        const believed = ring.verifying(nowMs);
        assert.ok(believed.length <= MAX_KEYS_TRIED);
        for (const { notAfterMs, key: bytes } of believed) {
          assert.ok(notAfterMs === undefined || notAfterMs > nowMs);
          assert.ok(bytes.length > 0);
        }
        const signing = ring.signing(nowMs);
        if (signing) assert.notEqual(signing.state, "offered");
        for (const name of revoked)
          assert.equal(ring.holds(utf8(name), nowMs), false, "a revoked key is believed");
        assert.ok(!JSON.stringify(list).includes('"key"'), "a list shows no secret");
      }
    }),
    { numRuns: 300 },
  );
});

test("wipeLeft() overwrites the bytes of a key that was revoked, taken back, replaced or is long past its end", () => {
  const bytes = {
    revoked: utf8("revoked"),
    offered: utf8("offered"),
    ended: utf8("ended"),
    gone: utf8("gone"),
  };
  const stays = utf8("stays");
  const ring = ringOf(
    { key: stays, state: "current" },
    { key: bytes.revoked },
    { key: bytes.offered, state: "offered", epoch: 1 },
  );
  ring.revoke(idOf("revoked"), NOW_MS);
  ring.forget(idOf("offered"));
  ring.add({ key: bytes.ended, notAfterMs: NOW_MS + 1 }, NOW_MS);
  ring.add({ key: bytes.gone }, NOW_MS + 24 * 3_600_000);
  assert.equal(ring.find(idOf("ended")), undefined);
  ring.replace([{ key: stays.slice(), state: "current" }], NOW_MS);
  assert.ok(
    Object.values(bytes).every((one) => !isWiped(one)),
    "somebody may use them yet",
  );
  ring.wipeLeft(new Set());
  for (const [why, one] of Object.entries(bytes)) assert.ok(isWiped(one), why);
  assert.deepEqual(stays, utf8("stays"));
  assert.equal(ring.find(idOf("stays"))?.key, stays);
  assert.equal(ring.hasLeft, false);
});

test("wipeLeft() leaves what is in use, and overwrites it once it is not", () => {
  const [one, two] = [utf8("one"), utf8("two")];
  const ring = ringOf({ key: one }, { key: two }, key("three", { state: "current" }));
  ring.revoke(idOf("one"), NOW_MS);
  ring.revoke(idOf("two"), NOW_MS);
  ring.wipeLeft(new Set([one]));
  assert.deepEqual([one, isWiped(two), ring.hasLeft], [utf8("one"), true, true]);
  ring.wipeLeft(new Set());
  assert.ok(isWiped(one));
});

test("replace() leaves a key that stays in its array, and wipeLeft() overwrites the one that came", () => {
  const [was, came] = [utf8("a"), utf8("a")];
  const ring = ringOf({ key: was, state: "current" });
  ring.replace([{ key: came, state: "current", epoch: 1 }], NOW_MS);
  ring.wipeLeft(new Set());
  assert.deepEqual([was, isWiped(came)], [utf8("a"), true]);
  assert.equal(ring.find(idOf("a"))?.key, was);
});

test("what throws wipes nothing, and snapshot() gives copies", () => {
  const bytes = utf8("a");
  const ring = ringOf({ key: bytes, state: "current" });
  assert.throws(() => ring.replace([key("b", { state: "current" }), key("c", { state: "current" })], NOW_MS));
  const [copy] = ring.snapshot();
  copy?.key.fill(0);
  ring.wipeLeft(new Set());
  assert.deepEqual(ring.find(idOf("a"))?.key, utf8("a"));
  ring.wipe();
  assert.ok(isWiped(bytes));
});
