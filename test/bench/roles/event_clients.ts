/** Clients of server-sent events in a process of their own: `event_clients.ts PORT PATH COUNT`; says how many bytes came. */
import { connect, type Socket } from "node:net";
import { say, serveCommands } from "./role.ts";

const [port = "0", path = "/", count = "1"] = process.argv.slice(2);
let bytes = 0;
let events = 0;
const sockets: Socket[] = [];
for (let index = 0; index < Number(count); index++) {
  const socket = connect(Number(port), "127.0.0.1");
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.once("data", () => resolve());
    socket.on("data", (part) => {
      bytes += part.length;
      events += part.toString("latin1").split("event: ").length - 1;
    });
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  });
  sockets.push(socket);
}
say({ event: "ready" });
await serveCommands(() => {
  say({ event: "heard", bytes, events });
});
