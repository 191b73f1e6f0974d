/**
 * UDP through node:dgram, which all three runtimes have and which alone can share a port everywhere.
 *
 * `reuseAddr` shares it, never `reusePort` (Deno ignores that one).
 */
import { createSocket } from "node:dgram";
import type { Address, DatagramOptions, DatagramSocket } from "../../core/runtime.ts";
import { listenFailure } from "./failures.ts";

/** @see Transport.bindDatagram */
export function bindDatagram(at: Address, options: DatagramOptions): Promise<DatagramSocket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({ type: at.host.includes(":") ? "udp6" : "udp4", reuseAddr: options.shared });
    let closed = false;
    socket.once("error", (error) => {
      socket.close();
      reject(listenFailure(at, error, "UDP"));
    });
    socket.on("message", (packet, from) => {
      if (!closed) options.receive(packet, { host: from.address, port: from.port });
    });
    socket.bind(at.port, at.host, () => {
      socket.removeAllListeners("error");
      // Later errors concern one packet (ICMP refusals); its sender hears of it through send().
      socket.on("error", () => {});
      socket.setBroadcast(true);
      const bound = socket.address();
      const sendOnce = (packet: Uint8Array, to: Address) =>
        new Promise<void>((sent, failed) => {
          if (closed) return failed(new Error("the datagram socket is closed"));
          socket.send(packet, to.port, to.host, (error) => (error ? failed(error) : sent()));
        });
      resolve({
        address: { host: bound.address, port: bound.port },
        // On Bun a refusal by an earlier packet's target fails the next send and loses it: send again.
        send: (packet, to) =>
          sendOnce(packet, to).catch((error) => {
            if ((error as { code?: string }).code === "ECONNREFUSED") return sendOnce(packet, to);
            throw error;
          }),
        close: () =>
          new Promise((done) => {
            if (closed) return done();
            closed = true;
            socket.close(() => done());
          }),
      });
    });
  });
}
