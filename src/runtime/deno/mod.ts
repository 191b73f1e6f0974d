/** The Deno runtime. */
import type { Runtime } from "../../core/runtime.ts";
import { clock, crypto, interfaces } from "../common/host.ts";
import { deno } from "./deno_api.ts";
import { createTransport } from "./tcp.ts";

export const runtime: Runtime = {
  name: "deno",
  version: deno.version.deno,
  transport: createTransport(),
  clock,
  crypto,
  interfaces,
};
