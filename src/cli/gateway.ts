/** `--gateway`: what its flags mean, and the gateway beside a node. Its code is loaded only when it is asked for. */
import type { GatewayServer, ServeTls, TokenRecord } from "../../gateway/mod.ts";
import { type Address, AsocError, type AsocNode, formatAddress } from "../mod.ts";
import type { Args, Flags } from "./args.ts";
import { check } from "./config.ts";
import { CliError, ExitCode, usageError } from "./exit_codes.ts";
import type { Environment } from "./key.ts";
import type { Output } from "./output.ts";
import { readMaterial } from "./tls.ts";
import { defaultTokenFile, readTokens } from "./token_file.ts";

const DEFAULT_AT = "127.0.0.1:8080";

export const GATEWAY_FLAGS: Flags = {
  gateway: {
    value: "HOST:PORT",
    optional: DEFAULT_AT,
    help: `serve HTTP as well: dashboard and API (default ${DEFAULT_AT})`,
  },
  "gateway-host": { value: "NAME", multiple: true, help: "a further name that browsers may call it by" },
  "gateway-origin": {
    value: "ORIGIN",
    multiple: true,
    help: "a web page that may use it: https://example.org",
  },
  "gateway-tls": { help: "HTTPS with the certificate of --tls-cert, or of ~/.asoc/certs, read at the start" },
  "gateway-tokens": { value: "FILE", help: "tokens of asoc token (default ~/.asoc/gateway-tokens.json)" },
};

export interface GatewaySettings {
  readonly at: Address;
  readonly tokens: readonly TokenRecord[];
  readonly hosts: readonly string[];
  readonly origins: readonly string[];
  /** HTTPS; undefined: HTTP. */
  readonly tls: ServeTls | undefined;
}

/** Undefined: no gateway is wanted. Throws a usage error, also for an address off this machine without a token. */
export async function gatewaySettings(args: Args, env: Environment): Promise<GatewaySettings | undefined> {
  const text = args.text("gateway");
  if (text === undefined) {
    for (const name of ["gateway-host", "gateway-origin", "gateway-tokens", "gateway-tls"])
      if (args.has(name)) throw usageError(`--${name}: expected --gateway with it`);
    return undefined;
  }
  const { isLoopback } = await import("../../gateway/mod.ts");
  const at = gatewayAddress(text);
  const origins = args.list("gateway-origin");
  for (const origin of origins) {
    if (!URL.canParse(origin) || !/^https?:\/\//.test(origin))
      throw usageError(
        `--gateway-origin: expected one like https://example.org, got ${JSON.stringify(origin)}`,
      );
  }
  const file = args.text("gateway-tokens");
  const tokens = await readTokens(file ?? defaultTokenFile(env), file !== undefined);
  if (tokens.length === 0 && !isLoopback(at.host)) {
    throw usageError(
      `--gateway: ${formatAddress(at)} can be reached from other machines, which wants a token: asoc token makes one`,
    );
  }
  const tls = args.has("gateway-tls") ? await readMaterial(args, env) : undefined;
  return { at, tokens, hosts: args.list("gateway-host"), origins, tls };
}

/** HOST:PORT, where port 0 takes any free one. */
function gatewayAddress(text: string): Address {
  const isAnyPort = text.endsWith(":0");
  const { host, port } = check("address", "--gateway", isAnyPort ? `${text.slice(0, -1)}1` : text);
  return { host, port: isAnyPort ? 0 : port };
}

/** Opens the gateway of a node whose tensors somebody else reads. */
export async function openGateway(
  node: AsocNode,
  settings: GatewaySettings,
  name: string | undefined,
  output: Output,
): Promise<GatewayServer> {
  const { createGateway, serveGateway } = await import("../../gateway/mod.ts");
  const { at, tokens, hosts, origins, tls } = settings;
  const gateway = createGateway(node, { name, tokens, hosts, origins });
  try {
    const server = await serveGateway(gateway, { ...at, tls });
    const { host, port, url } = server;
    const who = tokens.length === 0 ? "no token is asked for" : `${tokens.length} tokens`;
    output.note({ event: "gateway", url, host, port, tokens: tokens.length }, `gateway on ${url}, ${who}`);
    return server;
  } catch (error) {
    gateway.close();
    if (!(error instanceof AsocError) || error.code !== "ASOC_PORT_IN_USE") throw error;
    throw new CliError(
      ExitCode.FAILURE,
      error.code,
      `${error.message}: --gateway HOST:PORT; port 0 takes any free one`,
      { cause: error },
    );
  }
}
