/** Ten thousand clients of events against the default limits: as many as there may be stay, the others are told so. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { describe, test } from "node:test";
import { DEFAULT_GATEWAY_LIMITS } from "../../gateway/mod.ts";
import { RUNTIMES } from "../support/process.ts";
import { GatewayPair, getJson, handlesOf, heldBytes, metric, rawSocket, until } from "./pair.ts";

const MiB = 1024 * 1024;
const CLIENTS = 10_000;
/** At once, so that the queue of the listening socket takes them. */
const AT_ONCE = 250;
/** So many that no limit of an address is met. */
const ADDRESSES = 25;
const MOST_GROWN_BYTES = 64 * MiB;
/** Connections that fetch keeps open for the next request come and go. */
const SPARE_HANDLES = 8;
const { maxSseClients } = DEFAULT_GATEWAY_LIMITS;

const mostFiles = Number(/^Max open files +\d+ +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]);
const skip = mostFiles < CLIENTS + 1000 ? `at most ${mostFiles} descriptors` : false;

/** The first line of the answer; empty: the connection was closed without one. */
async function ask(port: number, address: string, sockets: Socket[]): Promise<string> {
  const socket = await rawSocket(port, address);
  sockets.push(socket);
  socket.write("GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  return new Promise((resolve) => {
    let text = "";
    socket.on("data", (part) => {
      if (text.includes("\n")) return;
      text += part.toString("latin1");
      if (text.includes("\n")) resolve(text.slice(0, text.indexOf("\r")));
    });
    for (const event of ["error", "close"]) socket.on(event, () => resolve(text));
  });
}

for (const runtime of RUNTIMES) {
  describe(`a gateway on ${runtime}`, { skip }, () => {
    test(`lets ${maxSseClients} of ${CLIENTS} clients of events stay, and is as before when they have gone`, async () => {
      await using pair = await GatewayPair.start(runtime);
      const { url, port, pid } = pair.near;
      const round = async (clients: number) => {
        const sockets: Socket[] = [];
        const answers = new Map<string, number>();
        for (let at = 0; at < clients; at += AT_ONCE) {
          const asked = Array.from({ length: AT_ONCE }, (_, index) =>
            ask(port, `127.0.1.${1 + (index % ADDRESSES)}`, sockets),
          );
          for (const line of await Promise.all(asked)) answers.set(line, (answers.get(line) ?? 0) + 1);
        }
        assert.equal(answers.get("HTTP/1.1 200 OK"), maxSseClients);
        for (const line of answers.keys()) assert.match(line, /^(HTTP\/1\.1 (200|503|429) .*)?$/);
        // Somebody else is served, and events go on.
        assert.equal(await metric(url, "gateway_event_clients"), maxSseClients);
        assert.equal(((await getJson(`${url}/v1/health`)) as { live: boolean }).live, true);
        await pair.send("amid", "a");
        for (const socket of sockets) socket.destroy();
        await until(
          () => metric(url, "gateway_event_clients"),
          (count) => count === 0,
        );
      };
      const before = await handlesOf(pid, Number.POSITIVE_INFINITY);
      await round(CLIENTS); // what a process takes for the first crowd it keeps for the next
      const heldBefore = await heldBytes(pair.near);
      await round(CLIENTS / 4);
      const handles = await handlesOf(pid, before + SPARE_HANDLES);
      assert.ok(handles <= before + SPARE_HANDLES, `${handles} handles, ${before} before`);
      const grownBytes = (await heldBytes(pair.near)) - heldBefore;
      assert.ok(grownBytes < MOST_GROWN_BYTES, `${grownBytes} bytes more`);
    });
  });
}
