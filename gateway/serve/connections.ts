/** How many connections clients may hold open at once, in all and from one address. What is above is closed at once. */
import type { Server } from "node:http";
import { addressKey } from "../../src/mod.ts";

/** `refused` is called for each that is closed. */
export function capConnections(
  server: Server,
  limits: { readonly maxClientConnections: number; readonly maxClientConnectionsPerAddress: number },
  refused: () => void,
): void {
  const perAddress = new Map<string, number>();
  let open = 0;
  server.on("connection", (socket) => {
    const address = addressKey(socket.remoteAddress ?? "");
    const here = perAddress.get(address) ?? 0;
    if (open >= limits.maxClientConnections || here >= limits.maxClientConnectionsPerAddress) {
      refused();
      socket.destroy();
      return;
    }
    open++;
    perAddress.set(address, here + 1);
    socket.once("close", () => {
      open--;
      const left = (perAddress.get(address) ?? 1) - 1;
      if (left > 0) perAddress.set(address, left);
      else perAddress.delete(address);
    });
  });
}
