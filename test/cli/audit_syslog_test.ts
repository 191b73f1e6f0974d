import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openAuditLog } from "../../src/cli/audit_log.ts";
import { SyslogProgram, syslogMessage } from "../../src/cli/audit_syslog.ts";
import { Output } from "../../src/cli/output.ts";
import type { AuditEvent } from "../../src/mod.ts";

const event: AuditEvent = {
  timeMs: 1_750_000_000_000,
  what: "handshake.refused",
  outcome: "refused",
  reason: "ASOC_WRONG_KEY",
  where: "192.0.2.1:4000",
};

test("syslogMessage() is one of RFC 5424: authpriv, warning for refusals, JSON as its text, never too long", () => {
  const text = syslogMessage(event, "host 1\n", 42);
  assert.match(text, /^<84>1 2025-06-15T15:06:40\.000Z host1 asoc 42 handshake\.refused - \{"time":/);
  assert.match(syslogMessage({ ...event, outcome: "noted" }, "", 1), /^<85>1 \S+ - asoc 1 /);
  const facts = Object.fromEntries(Array.from({ length: 16 }, (_, at) => [`fact${at}`, "x".repeat(256)]));
  assert.ok(syslogMessage({ ...event, facts }, "host", 1).length <= 2048);
});

test("--audit-log syslog://HOST:PORT sends each event in a datagram", async () => {
  const daemon = createSocket("udp4");
  daemon.bind(0, "127.0.0.1");
  await once(daemon, "listening");
  const sink = await openAuditLog(`syslog://127.0.0.1:${daemon.address().port}`, new Output(true));
  const message = once(daemon, "message");
  sink.write(event);
  const [packet] = (await message) as [Buffer];
  assert.match(packet.toString("latin1"), /^<84>1 .* handshake\.refused - \{.*ASOC_WRONG_KEY/);
  await sink.close();
  daemon.close();
});

test("--audit-log with a syslog address that is none is refused", async () => {
  for (const where of ["syslog://", "syslog://a b", "syslog://host:99999"])
    await assert.rejects(
      openAuditLog(where, new Output(true)),
      /--audit-log: expected syslog:\/\/HOST\[:PORT\]/,
      where,
    );
});

test("--audit-log syslog hands lines to logger, which inherits none of our environment, and is gone afterwards", async () => {
  const dir = await mkdtemp(join(tmpdir(), "asoc-logger-"));
  try {
    const [out, env] = [join(dir, "out"), join(dir, "env")];
    const logger = join(dir, "logger");
    await writeFile(
      logger,
      `#!/bin/sh\n/usr/bin/env > ${env}\necho "$@" > ${out}\nexec /bin/cat >> ${out}\n`,
    );
    await chmod(logger, 0o755);
    process.env.ASOC_TEST_CANARY = "a canary";
    const reports: string[] = [];
    const sink = await SyslogProgram.start((text) => reports.push(text), dir);
    sink.write(event);
    await sink.close();
    const [args = "", line = ""] = (await readFile(out, "utf8")).split("\n");
    assert.equal(args, "-t asoc -p authpriv.notice");
    assert.equal((JSON.parse(line) as AuditEvent).what, "handshake.refused");
    assert.doesNotMatch(await readFile(env, "utf8"), /canary/i);
    assert.deepEqual(reports, []);
  } finally {
    delete process.env.ASOC_TEST_CANARY;
    await rm(dir, { recursive: true, force: true });
  }
});

test("--audit-log syslog where there is no logger says what else there is", async () => {
  await assert.rejects(
    SyslogProgram.start(() => {}, "/nonexistent"),
    /no program logger here .*syslog:\/\/HOST:PORT/,
  );
});
