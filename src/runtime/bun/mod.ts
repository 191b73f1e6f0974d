/** The Bun runtime. */
import type { Runtime } from "../../core/runtime.ts";
import { clock, crypto, interfaces } from "../common/host.ts";
import { createTransport } from "./tcp.ts";

export const runtime: Runtime = {
  name: "bun",
  version: Bun.version,
  transport: createTransport(),
  clock,
  crypto,
  interfaces,
};
