import assert from "node:assert/strict";
import { test } from "node:test";
import { type AccessOptions, AccessRules, type Visitor } from "../../../src/core/access/rules.ts";

const ALICE = "0a0a0a0a-0000-8000-8000-00000000000a";
const BOB = "0b0b0b0b-0000-8000-8000-00000000000b";
const CERTIFICATE = "ab".repeat(32);
const visitor = (more: Partial<Visitor> = {}): Visitor => ({
  nodeId: ALICE,
  host: "192.0.2.7",
  certificate: undefined,
  ...more,
});
const ruleFor = (options: AccessOptions, who: Visitor) => new AccessRules(options).permissionsOf(who);

test("without rules everybody may do everything, and with the default deny nobody anything", () => {
  const all = ruleFor({}, visitor());
  assert.deepEqual(
    [all.mayConnect, all.maySend("a"), all.mayReceive("a"), all.mayTap("a")],
    [true, true, true, true],
  );
  const none = ruleFor({ default: "deny" }, visitor());
  assert.deepEqual(
    [none.mayConnect, none.maySend("a"), none.mayReceive("a"), none.mayTap("a")],
    [false, false, false, false],
  );
});

test("the first rule that fits says what a peer may, and what it does not say is allowed", () => {
  const options: AccessOptions = {
    default: "deny",
    rules: [
      { name: "alice", match: { nodeId: ALICE.toUpperCase() }, maySend: ["metrics/**"] },
      { name: "lab", match: { address: ["192.0.2.0/24", "fd00::/8"] }, mayReceive: false },
    ],
  };
  const alice = ruleFor(options, visitor());
  assert.deepEqual([alice.rule, alice.binding, alice.mayConnect], ["alice", "advisory", true]);
  assert.deepEqual(
    [alice.maySend("metrics/loss"), alice.maySend("weights"), alice.mayReceive("x")],
    [true, false, true],
  );
  const bob = ruleFor(options, visitor({ nodeId: BOB }));
  assert.deepEqual(
    [bob.rule, bob.binding, bob.maySend("x"), bob.mayReceive("x")],
    ["lab", "address", true, false],
  );
  const outside = ruleFor(options, visitor({ nodeId: BOB, host: "203.0.113.1" }));
  assert.deepEqual([outside.rule, outside.mayConnect], ["default", false]);
});

test("a rule by certificate binds: only who showed it fits, whatever uuid it claims", () => {
  const options: AccessOptions = {
    default: "deny",
    rules: [
      { match: { certificate: CERTIFICATE.toUpperCase().replace(/(..)(?=.)/g, "$1:"), nodeId: ALICE } },
    ],
  };
  assert.equal(ruleFor(options, visitor({ certificate: CERTIFICATE })).binding, "certificate");
  assert.equal(ruleFor(options, visitor()).mayConnect, false);
  assert.equal(ruleFor(options, visitor({ certificate: "cd".repeat(32) })).mayConnect, false);
  assert.equal(ruleFor(options, visitor({ certificate: CERTIFICATE, nodeId: BOB })).mayConnect, false);
});

test("all fields of a match have to fit, and a peer whose uuid is unknown fits no rule by uuid", () => {
  const options: AccessOptions = {
    rules: [{ match: { nodeId: ALICE, address: "10.0.0.0/8" }, mayConnect: false }],
  };
  assert.equal(ruleFor(options, visitor()).mayConnect, true);
  assert.equal(ruleFor(options, visitor({ host: "10.1.2.3" })).mayConnect, false);
  assert.equal(ruleFor(options, visitor({ host: "10.1.2.3", nodeId: undefined })).mayConnect, true);
});

test("mayConnectFrom() turns away addresses from which nobody could have a session, and no others", () => {
  const from = (options: AccessOptions, host: string) => new AccessRules(options).mayConnectFrom(host);
  const lab: AccessOptions = { default: "deny", rules: [{ match: { address: "10.0.0.0/8" } }] };
  assert.deepEqual([from(lab, "10.1.1.1"), from(lab, "192.0.2.1")], [true, false]);
  const byCertificate: AccessOptions = {
    rules: [
      { match: { address: "192.0.2.0/24", certificate: CERTIFICATE } },
      { match: { address: "192.0.2.0/24" }, mayConnect: false },
    ],
  };
  assert.equal(from(byCertificate, "192.0.2.1"), true, "its certificate may be the right one");
  const banned: AccessOptions = { rules: [{ match: { nodeId: ALICE }, mayConnect: false }] };
  assert.equal(from(banned, "192.0.2.1"), true, "others come from there too");
});

test("a rule on taps covers the very glob, or a topic without a star", () => {
  const { mayTap } = ruleFor({ rules: [{ mayTap: ["kv/**", "loss"] }] }, visitor());
  assert.deepEqual(["kv/**", "kv/a", "loss", "kv/*", "**", "other"].map(mayTap), [
    true,
    true,
    true,
    false,
    false,
    false,
  ]);
});

test("AccessRules names the rule and the field of what cannot be", () => {
  const rows: [AccessOptions, RegExp][] = [
    [
      { rules: [{}, { match: { address: "10.0.0.1/8" } }] },
      /access\.rules\[1\]\.match\.address\[0\]: expected/,
    ],
    [{ rules: [{ match: { nodeId: "alice" } }] }, /access\.rules\[0\]\.match\.nodeId\[0\]/],
    [
      { rules: [{ match: { certificate: "abc" } }] },
      /access\.rules\[0\]\.match\.certificate\[0\]: expected the SHA-256/,
    ],
    [{ rules: [{ match: { address: [] } }] }, /expected 1 to/],
    [{ rules: [{ maySend: ["x".repeat(300)] }] }, /access\.rules\[0\]\.maySend\[0\]/],
    [{ rules: [{ quota: { bytesPerHour: -1 } }] }, /access\.rules\[0\]\.quota\.bytesPerHour/],
    [{ rules: new Array(5000).fill({}) }, /expected at most 4096/],
    [{ default: "maybe" as "allow" }, /access\.default/],
  ];
  for (const [options, expected] of rows) assert.throws(() => new AccessRules(options), expected);
});
