/** `--tls` and its flags: what they mean, and what they read. */
import type { TlsOptions, TlsVerify } from "../mod.ts";
import { type Args, TLS_FLAGS } from "./args.ts";
import { usageError } from "./exit_codes.ts";
import type { Environment } from "./key.ts";

const MODES: readonly TlsVerify[] = ["proof", "pin", "ca", "none"];

/** The flags that `--gateway-tls` uses without `--tls`. */
const MATERIAL = ["tls-cert", "tls-key", "tls-dir"];

/** Files are named only: what they hold is read in `readTls`. */
export interface TlsSettings {
  readonly verify: TlsVerify;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly caFiles: readonly string[];
  readonly pins: readonly string[];
  readonly requireClientCertificate: boolean;
  readonly folder: string;
}

/** Undefined: no TLS. Throws a usage error. */
export async function tlsSettings(args: Args, env: Environment): Promise<TlsSettings | undefined> {
  const mode = args.text("tls") ?? (env.ASOC_TLS || undefined);
  const source = args.has("tls") ? "--tls" : "ASOC_TLS";
  if (mode === undefined) {
    const used = args.has("gateway-tls") ? MATERIAL : [];
    for (const name of Object.keys(TLS_FLAGS))
      if (args.has(name) && !used.includes(name)) throw usageError(`--${name}: expected --tls with it`);
    return undefined;
  }
  const caFiles = args.list("tls-ca").length > 0 ? args.list("tls-ca") : listOf(env.ASOC_TLS_CA);
  const pins = args.list("tls-pin").length > 0 ? args.list("tls-pin") : listOf(env.ASOC_TLS_PIN);
  const verify = mode === "" ? impliedBy(args) : MODES.find((one) => one === mode);
  if (!verify) throw usageError(`${source}: expected ${MODES.join(", ")}, got ${JSON.stringify(mode)}`);
  if (verify === "proof" && args.text("legacy") === "allow")
    throw usageError(
      "--legacy: allow cannot be together with --tls=proof, which rests on the proof that such peers lack",
    );
  if (args.has("tls-ca") && verify !== "ca")
    throw usageError(`--tls-ca: is for --tls=ca, got --tls=${verify}`);
  if (args.has("tls-pin") && verify !== "pin")
    throw usageError(`--tls-pin: is for --tls=pin, got --tls=${verify}`);
  const { certFile, keyFile, folder } = await materialFiles(args, env);
  if (verify === "pin" && pins.length === 0)
    throw usageError(`${source}: expected --tls-pin SHA256 with pin`);
  return {
    verify,
    certFile,
    keyFile,
    caFiles: verify === "ca" ? caFiles : [],
    pins: verify === "pin" ? pins : [],
    requireClientCertificate: args.has("tls-client-cert"),
    folder,
  };
}

async function materialFiles(args: Args, env: Environment) {
  const certFile = args.text("tls-cert") ?? (env.ASOC_TLS_CERT || undefined);
  const keyFile = args.text("tls-key") ?? (env.ASOC_TLS_KEY || undefined);
  if (keyFile !== undefined && certFile === undefined)
    throw usageError("--tls-key: expected --tls-cert with it");
  const { defaultCertsFolder } = await import("../certs/mod.ts");
  const folder = args.text("tls-dir") ?? (env.ASOC_TLS_DIR || defaultCertsFolder(env.HOME));
  return { certFile, keyFile, folder };
}

/** The certificate that a node would show, for HTTPS. Rejects with ASOC_CONFIG for files that cannot serve. */
export async function readMaterial(args: Args, env: Environment): Promise<{ cert: string; key: string }> {
  const files = await materialFiles(args, env);
  const { resolveTls } = await import("../certs/mod.ts");
  const options = { verify: "proof", caFiles: [], pins: [], requireClientCertificate: false } as const;
  const { config } = await resolveTls(await readTls({ ...options, ...files }));
  const { certificatePem, keyPem } = config.identity();
  return { cert: certificatePem, key: keyPem };
}

function impliedBy(args: Args): TlsVerify {
  if (args.has("tls-pin")) return "pin";
  return args.has("tls-ca") ? "ca" : "proof";
}

function listOf(text: string | undefined): string[] {
  return (text ?? "")
    .split(",")
    .map((one) => one.trim())
    .filter((one) => one !== "");
}

/** The options of `join`. Rejects with ASOC_CONFIG for files that cannot serve. */
export async function readTls(settings: TlsSettings): Promise<TlsOptions> {
  const { readPem, readSecretPem } = await import("../certs/mod.ts");
  const { verify, certFile, keyFile, caFiles, pins, requireClientCertificate, folder } = settings;
  const cert =
    certFile === undefined
      ? undefined
      : await (keyFile === undefined ? readSecretPem(certFile) : readPem(certFile));
  return {
    verify,
    folder,
    requireClientCertificate,
    cert,
    ...(keyFile === undefined ? {} : { key: await readSecretPem(keyFile) }),
    ...(caFiles.length === 0 ? {} : { ca: await Promise.all(caFiles.map(readPem)) }),
    ...(verify === "pin" ? { pins } : {}),
  };
}

/** Said once at the start. */
export function tlsWarnings(settings: TlsSettings | undefined): string[] {
  if (settings?.verify !== "none") return [];
  return [
    "--tls=none verifies nobody: whoever is on the path can read what goes to and comes from peers that have not proven themselves",
  ];
}

/** Certificates that come to their end. What is wrong with a file `join` says. */
export async function tlsEndWarnings(tls: TlsOptions | undefined): Promise<string[]> {
  if (!tls) return [];
  const { endWarnings } = await import("../certs/mod.ts");
  return endWarnings(tls).catch(() => []);
}
