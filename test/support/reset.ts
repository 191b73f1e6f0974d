/** RST on a socket of the tests. */
import type { Socket } from "node:net";

/**
 * Ends `socket` with a reset, behind its FIN if that is on its way: reset at that moment, Node.js says EINVAL and keeps the handle for
 * ever, and the process that has it spins at its end.
 */
export function reset(socket: Socket): void {
  const isShutting = socket.writableEnded && socket.writableLength === 0 && !socket.writableFinished;
  if (isShutting && !socket.destroyed) socket.once("finish", () => socket.resetAndDestroy());
  else socket.resetAndDestroy();
}
