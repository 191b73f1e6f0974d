import assert from "node:assert/strict";
import { test } from "node:test";
import { Admission, addressKey } from "../../../src/core/auth/admission.ts";
import { DEFAULT_LIMITS, type Limits } from "../../../src/core/limits.ts";

const HOST = "127.0.0.9";
const admissionWith = (limits: Partial<Limits> = {}) =>
  new Admission({ ...DEFAULT_LIMITS, maxAttemptsPerHour: 1e9, ...limits });

/** Fails `count` handshakes in a row; true when the last one led to a block. */
function fail(admission: Admission, count: number, nowMs: number, host = HOST): boolean {
  let blocked = false;
  for (let i = 0; i < count; i++) {
    assert.equal(admission.arrive(host, nowMs), undefined);
    blocked = admission.failed(host, true, nowMs);
  }
  return blocked;
}

function succeed(admission: Admission, nowMs: number, host = HOST): void {
  assert.equal(admission.arrive(host, nowMs), undefined);
  admission.authenticated(host);
}

test("Admission blocks an address after 5 failed handshakes, for 30 s, and no other address", () => {
  const admission = admissionWith();
  assert.equal(fail(admission, 4, 0), false);
  assert.equal(fail(admission, 1, 0), true);
  assert.equal(admission.arrive(HOST, 29_999), "blocked");
  assert.equal(admission.arrive("127.0.0.10", 0), undefined);
  assert.equal(admission.arrive(HOST, 30_000), undefined);
});

test("Admission doubles each further block, up to the longest", () => {
  const admission = admissionWith({ maxBlockMs: 200_000 });
  let nowMs = 0;
  for (const blockMs of [30_000, 60_000, 120_000, 200_000, 200_000]) {
    assert.equal(fail(admission, 5, nowMs), true);
    assert.equal(admission.arrive(HOST, nowMs + blockMs - 1), "blocked");
    nowMs += blockMs;
  }
});

test("Admission forgets failures that are older than the window, and those before a success", () => {
  const admission = admissionWith();
  fail(admission, 4, 0);
  assert.equal(fail(admission, 4, 600_001), false);
  succeed(admission, 600_002);
  assert.equal(fail(admission, 4, 600_003), false);
  assert.equal(fail(admission, 1, 600_004), true);
});

test("Admission does not count a failure without blame", () => {
  const admission = admissionWith();
  for (let i = 0; i < 20; i++) {
    assert.equal(admission.arrive(HOST, 0), undefined);
    assert.equal(admission.failed(HOST, false, 0), false);
  }
  assert.equal(admission.pendingHandshakes, 0);
});

test("Admission gives out 64 handshake slots, and each comes back with the end of the handshake", () => {
  const admission = admissionWith({ maxConnections: 1000 });
  for (let i = 0; i < 64; i++) assert.equal(admission.arrive(HOST, 0), undefined);
  assert.equal(admission.arrive("127.0.0.10", 0), "too many handshakes");
  assert.equal(admission.pendingHandshakes, 64);
  admission.failed(HOST, false, 0);
  assert.equal(admission.arrive("127.0.0.10", 0), undefined);
  admission.authenticated(HOST);
  assert.equal(admission.arrive("127.0.0.10", 0), undefined);
});

test("Admission lets 100 connections in at once, those in their handshake included", () => {
  const admission = admissionWith();
  for (let i = 0; i < 90; i++) succeed(admission, 0);
  for (let i = 0; i < 10; i++) assert.equal(admission.arrive(HOST, 0), undefined);
  assert.equal(admission.arrive(HOST, 0), "too many connections");
  admission.left(HOST, 0);
  assert.equal(admission.arrive(HOST, 0), undefined);
});

test("Admission lets a stranger try 100 times an hour, and ten times that behind an authenticated address", () => {
  const admission = new Admission({ ...DEFAULT_LIMITS });
  const tries = (host: string, count: number, nowMs: number) => {
    let refused: string | undefined;
    let letIn = 0;
    for (let i = 0; i < count; i++) {
      refused = admission.arrive(host, nowMs);
      if (refused) continue;
      letIn++;
      admission.failed(host, false, nowMs);
    }
    return [letIn, refused];
  };
  assert.deepEqual(tries("10.0.0.1", 150, 0), [100, "too many attempts"]);
  assert.deepEqual(tries("10.0.0.1", 1, 3_599_999), [0, "too many attempts"]);
  assert.deepEqual(tries("10.0.0.1", 1, 3_600_000), [1, undefined]);
  succeed(admission, 0, "10.0.0.2");
  assert.deepEqual(tries("10.0.0.2", 1500, 0), [1000, "too many attempts"]);
  admission.left("10.0.0.2", 0);
  assert.deepEqual(tries("10.0.0.2", 1, 1), [0, "too many attempts"]);
});

test("Admission refunds the attempt of a handshake that succeeds: a v0.1 peer may dial again every 10 s", () => {
  const admission = new Admission({ ...DEFAULT_LIMITS });
  for (let i = 0; i < 360; i++) {
    succeed(admission, i * 10_000);
    admission.left(HOST, 0);
  }
});

test("Admission remembers no more addresses than its limit, but always those with a session", () => {
  const admission = admissionWith({ maxTrackedAddresses: 3 });
  succeed(admission, 0, "10.0.0.1");
  fail(admission, 5, 0, "10.0.0.2");
  for (const host of ["10.0.0.3", "10.0.0.4", "10.0.0.5"]) fail(admission, 1, 0, host);
  assert.equal(admission.arrive("10.0.0.2", 1), undefined); // its block was the oldest entry
  for (let i = 0; i < 4; i++) fail(admission, 1, 0, "10.0.0.1");
  assert.equal(fail(admission, 1, 0, "10.0.0.1"), true);
});

test("addressKey() takes an IPv6 network of 64 bits for one address", () => {
  const one = addressKey("2001:db8:0:7:1:2:3:4");
  for (const host of [
    "2001:db8:0:7::1",
    "2001:db8:0:7:ffff::",
    "2001:DB8:0:7::9",
    "2001:0db8:0000:0007::1",
  ]) {
    assert.equal(addressKey(host), one, host);
  }
  for (const host of ["2001:db8:0:8::1", "2001:db8::7:1", "::1"])
    assert.notEqual(addressKey(host), one, host);
  assert.equal(addressKey("2001:db8::1"), addressKey("2001:db8:0:0:5::"));
});

test("addressKey() leaves IPv4 as it is, also when it is mapped into IPv6", () => {
  for (const host of ["10.1.2.3", "::ffff:10.1.2.3", "::FFFF:10.1.2.3", "::ffff:a01:203"])
    assert.equal(addressKey(host), "10.1.2.3");
});

test("Admission counts the addresses of one IPv6 network together", () => {
  const admission = admissionWith();
  for (let i = 0; i < 5; i++) {
    const host = `2001:db8::${i + 1}`;
    admission.arrive(host, 0);
    admission.failed(host, true, 0);
  }
  assert.equal(admission.arrive("2001:db8::99", 0), "blocked");
});

test("Admission knows an address as familiar while it has a session, and for an hour after", () => {
  const admission = admissionWith();
  assert.equal(admission.isFamiliar(HOST, 0), false);
  fail(admission, 1, 0);
  assert.equal(admission.isFamiliar(HOST, 0), false);
  succeed(admission, 0);
  assert.equal(admission.isFamiliar(HOST, 10 * 3_600_000), true);
  admission.left(HOST, 1000);
  assert.equal(admission.isFamiliar(HOST, 3_600_999), true);
  assert.equal(admission.isFamiliar(HOST, 3_601_000), false);
});

test("Admission lets strangers begin so many TLS handshakes a second, and those who were here lately as many more", () => {
  const admission = admissionWith({ maxTlsHandshakesPerSecond: 2 });
  succeed(admission, 0, "127.0.0.20");
  admission.left("127.0.0.20", 0);
  const strangers = [1, 2, 3].map((each) => admission.arriveTls(`127.0.0.${each}`, 10));
  assert.deepEqual(strangers, [undefined, undefined, "too many TLS handshakes"]);
  const familiar = [1, 2, 3].map(() => admission.arriveTls("127.0.0.20", 10));
  assert.deepEqual(familiar, [undefined, undefined, "too many TLS handshakes"]);
  assert.equal(admission.arriveTls("127.0.0.3", 1010), undefined, "another second");
});

test("Admission holds nothing against an address that a flood of TLS handshakes has kept out", () => {
  const admission = admissionWith({ maxAttemptsPerHour: 2, maxTlsHandshakesPerSecond: 1 });
  admission.arriveTls("127.0.0.1", 0);
  for (let i = 0; i < 10; i++) {
    assert.equal(admission.arriveTls(HOST, 0, false), "too many handshakes");
    assert.equal(admission.arriveTls(HOST, 0), "too many TLS handshakes");
  }
  assert.equal(admission.arriveTls(HOST, 1000), undefined);
  assert.equal(admission.arriveTls(HOST, 2000), undefined);
  assert.equal(admission.arriveTls(HOST, 3000), "too many attempts");
});

test("Admission takes no place among TLS handshakes for an address that is shut out", () => {
  const admission = admissionWith({ maxTlsHandshakesPerSecond: 1 });
  fail(admission, 5, 0);
  assert.equal(admission.arriveTls(HOST, 0), "blocked");
  assert.equal(admission.arriveTls("127.0.0.10", 0), undefined);
});
