/** The Node.js runtime. */
import type { Runtime } from "../../core/runtime.ts";
import { clock, crypto, interfaces } from "../common/host.ts";
import { createTransport } from "./tcp.ts";

export const runtime: Runtime = {
  name: "node",
  version: process.versions.node,
  transport: await createTransport(),
  clock,
  crypto,
  interfaces,
};
