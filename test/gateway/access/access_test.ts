/** Who may come in: hosts and origins, tokens, rates. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Hosts, hostName, isLoopback } from "../../../gateway/access/hosts.ts";
import { RequestRate } from "../../../gateway/access/rate.ts";
import {
  formatTokens,
  makeToken,
  parseTokens,
  TOKEN_PATTERN,
  Tokens,
  tokenHash,
} from "../../../gateway/access/tokens.ts";

test("hostName() reads a Host header, and nothing that only looks like one", () => {
  assert.equal(hostName("LocalHost:8080"), "localhost");
  assert.equal(hostName("localhost."), "localhost");
  assert.equal(hostName("[::1]:80"), "[::1]");
  for (const none of ["", "a b", "user@host", "a/b", "[::1", "::1", "host:port", "x".repeat(400)])
    assert.equal(hostName(none), undefined, none);
});

test("Hosts lets its own names in, and those of the list", () => {
  const hosts = new Hosts(["gpu1.lan"], ["https://page.example"]);
  hosts.bound("10.0.0.5");
  for (const host of ["localhost:1", "127.0.0.1", "[::1]:8080", "10.0.0.5:80", "GPU1.lan"])
    hosts.checkHost(host);
  for (const host of [undefined, "evil.example", "10.0.0.6", "localhost.evil.example", "0.0.0.0"])
    assert.throws(() => hosts.checkHost(host), { code: "GATEWAY_FORBIDDEN_HOST" }, host);
  hosts.checkOrigin(undefined, "localhost");
  hosts.checkOrigin("http://localhost:8080", "localhost:8080");
  hosts.checkOrigin("https://page.example", "localhost");
  for (const origin of ["null", "http://localhost", "https://page.example.evil", "http://page.example"])
    assert.throws(
      () => hosts.checkOrigin(origin, "localhost:8080"),
      { code: "GATEWAY_FORBIDDEN_ORIGIN" },
      origin,
    );
  assert.throws(() => new Hosts([], ["page.example"]), TypeError);
});

test("Hosts that listens on every address takes any address, and no name of a stranger", () => {
  const hosts = new Hosts([], []);
  hosts.bound("0.0.0.0");
  hosts.checkHost("10.1.2.3:8080");
  hosts.checkHost("[fe80::1]");
  assert.throws(() => hosts.checkHost("evil.example"), { code: "GATEWAY_FORBIDDEN_HOST" });
});

test("isLoopback() knows this machine", () => {
  for (const host of ["localhost", "127.0.0.1", "127.1.2.3", "::1"]) assert.ok(isLoopback(host), host);
  for (const host of ["0.0.0.0", "::", "10.0.0.1", "127.0.0.1.evil", "example.org"])
    assert.ok(!isLoopback(host), host);
});

test("Tokens knows its tokens by their hashes, and what each may do", () => {
  const [reader, sender, chief] = [makeToken(), makeToken(), makeToken()];
  assert.match(reader, TOKEN_PATTERN);
  assert.notEqual(reader, sender);
  const record = (token: string, scopes: ("read" | "tap" | "inject" | "admin")[]) => ({
    hash: tokenHash(token),
    scopes,
    name: "",
    createdAt: "2026-11-24T00:00:00.000Z",
  });
  const records = [record(reader, ["read"]), record(sender, ["inject"]), record(chief, ["admin"])];
  const tokens = new Tokens(parseTokens(formatTokens(records)));
  assert.deepEqual([...(tokens.scopesOf(reader) ?? [])], ["read"]);
  assert.deepEqual(new Set(tokens.scopesOf(sender)), new Set(["inject", "read"]));
  assert.equal(tokens.scopesOf(chief)?.size, 4);
  assert.equal(tokens.scopesOf(`${reader}x`), undefined);
  assert.equal(tokens.scopesOf(""), undefined);
  for (const text of [
    "",
    "[]",
    '{"tokens":[{}]}',
    '{"tokens":[{"hash":"a","scopes":["read"],"name":"","createdAt":""}]}',
  ])
    assert.throws(() => parseTokens(text), TypeError, text);
});

test("RequestRate lets a burst through and then so many a second, and remembers so many addresses", () => {
  const rate = new RequestRate(10, 3, 2);
  for (let count = 0; count < 3; count++) rate.check("a", 0);
  assert.throws(() => rate.check("a", 0), { code: "GATEWAY_RATE_LIMITED", status: 429 });
  rate.check("b", 0);
  rate.check("a", 100);
  assert.throws(() => rate.check("a", 100), { code: "GATEWAY_RATE_LIMITED" });
  rate.check("c", 100); // b is the longest unused
  rate.check("d", 100); // and now a
  rate.check("a", 100);
  assert.equal(rate.refused, 2);
});
