/** A Node.js whose net.Server keeps its count elsewhere: what direct reading of accepted sockets rests on is not there. */
import { syncBuiltinESMExports } from "node:module";
import net from "node:net";

const { createServer } = net;
net.createServer = (...options) => {
  const server = createServer(...options);
  Object.defineProperty(server, "_connections", { get: () => undefined, set() {} });
  return server;
};
syncBuiltinESMExports();
