/** The part of `asoc doctor` that goes through the security checklist: what a node with these flags would be open to. */
import { readdir, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AccessRules, isLoopback } from "../mod.ts";
import { readAccess } from "./access_file.ts";
import type { Args } from "./args.ts";
import type { NodeSettings } from "./config.ts";
import { CliError } from "./exit_codes.ts";
import { type Finding, ok, problem, warning } from "./finding.ts";
import { gatewaySettings } from "./gateway.ts";
import { defaultKeyFile, type Environment } from "./key.ts";

const GROUP_AND_OTHERS = 0o077;
const OTHERS_WRITE = 0o022;
/** What asoc keeps in ~/.asoc that is secret by its name; of PEM the content says it. */
const SECRET_NAME = /(^|[/\\])(api_key|keys\.json|[^/\\]*(tokens\.json|[._-]key|ring[^/\\]*\.json))$/;
const PRIVATE_KEY = /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/;

export async function securityFindings(
  settings: NodeSettings,
  args: Args,
  env: Environment,
): Promise<Finding[]> {
  return [
    await keyFileFinding(settings),
    ...(await homeFindings(env)),
    legacyFinding(settings),
    tlsFinding(settings),
    await auditFinding(settings),
    await accessFinding(settings),
    ...(await gatewayFinding(args, env)),
    ...(await coreDumpFinding()),
  ];
}

/** Where the key came from, and who else can get at it there. */
async function keyFileFinding({ keySource }: NodeSettings): Promise<Finding> {
  const path = keySource.file;
  if (path === undefined)
    return warning(
      "key source",
      `${keySource.name}: it stays in /proc/PID/environ for as long as the process runs`,
      "keep it in a file of mode 600: ~/.asoc/api_key, or --api-key-file",
    );
  const mode = await modeOf(path);
  if (mode !== undefined && mode & GROUP_AND_OTHERS)
    return warning(
      "key source",
      `${path} has mode ${octal(mode)}: others can get at the key`,
      `chmod 600 ${path}`,
    );
  const folder = dirname(path);
  const folderMode = await modeOf(folder);
  if (folderMode !== undefined && folderMode & OTHERS_WRITE)
    return warning(
      "key source",
      `${path}: its folder has mode ${octal(folderMode)}, so others can put another file in its place`,
      `chmod go-w ${folder}`,
    );
  return ok("key source", path);
}

/** What else lies in ~/.asoc. */
async function homeFindings(env: Environment): Promise<Finding[]> {
  const home = dirname(defaultKeyFile(env));
  const findings: Finding[] = [];
  const mode = await modeOf(home);
  if (mode === undefined) return findings;
  if (mode & OTHERS_WRITE)
    findings.push(
      problem("~/.asoc", `${home} has mode ${octal(mode)}: others can put files there`, `chmod 700 ${home}`),
    );
  else if (mode & GROUP_AND_OTHERS)
    findings.push(
      warning(
        "~/.asoc",
        `${home} has mode ${octal(mode)}: others can see what is there`,
        `chmod 700 ${home}`,
      ),
    );
  const open: string[] = [];
  for (const name of await readdir(home, { recursive: true }).catch(() => [])) {
    const file = join(home, name);
    const own = await modeOf(file);
    if (own !== undefined && own & GROUP_AND_OTHERS && (await isSecret(file))) open.push(file);
  }
  findings.push(
    open.length === 0
      ? ok("file modes", "secrets are their owner's alone")
      : problem("file modes", `others can get at ${open.join(", ")}`, `chmod 600 ${open.join(" ")}`),
  );
  return findings;
}

async function isSecret(file: string): Promise<boolean> {
  if (SECRET_NAME.test(file)) return true;
  return file.endsWith(".pem") && PRIVATE_KEY.test(await readFile(file, "utf8").catch(() => ""));
}

function legacyFinding({ legacy, tls }: NodeSettings): Finding {
  if (legacy === "deny" || tls?.verify === "proof") return ok("peers without proof", "refused");
  return warning(
    "peers without proof",
    "peers of version 0.1 are let in: anybody on the way can take over what they say",
    "--legacy deny, once every node speaks x1",
  );
}

function tlsFinding({ host, tls }: NodeSettings): Finding {
  if (tls?.verify === "none")
    return warning(
      "encryption",
      "TLS that verifies nobody: whoever is on the way can read what passes to peers without proof",
      "--tls, which rests on the proof of the key",
    );
  if (tls) return ok("encryption", `TLS, verified by ${tls.verify}`);
  if (isLoopback(host)) return ok("encryption", `none, and ${host} is this machine only`);
  return warning(
    "encryption",
    `none: whoever is on the way of ${host} can read tensors, and change them after the handshake`,
    "--tls, or a network that is trusted (see docs/security.md)",
  );
}

async function auditFinding({ auditLog }: NodeSettings): Promise<Finding> {
  if (auditLog === undefined)
    return warning(
      "audit",
      "nobody would know who was refused, or let in",
      "--audit-log FILE, or --audit-log syslog",
    );
  const mode = await modeOf(auditLog);
  return mode !== undefined && mode & GROUP_AND_OTHERS
    ? warning("audit", `${auditLog} has mode ${octal(mode)}`, `chmod 600 ${auditLog}`)
    : ok("audit", auditLog);
}

async function accessFinding({ accessFile }: NodeSettings): Promise<Finding> {
  if (accessFile === undefined)
    return ok("access", "whoever has the key may do everything; --access FILE says otherwise");
  try {
    const options = await readAccess(accessFile);
    const { listing } = new AccessRules(options);
    const advisory = listing.filter(({ binding }) => binding === "advisory");
    const found = `${listing.length} rules, default ${options.default ?? "allow"}`;
    if (advisory.length === 0) return ok("access", found);
    return warning(
      "access",
      `${found}; ${advisory.length} go by a uuid, which any holder of the key can claim`,
      "add the peer's certificate to those rules",
    );
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    return problem("access", error.message, "asoc would not start with it");
  }
}

async function gatewayFinding(args: Args, env: Environment): Promise<Finding[]> {
  try {
    const gateway = await gatewaySettings(args, env);
    if (!gateway) return [];
    const { at, tokens, tls } = gateway;
    if (isLoopback(at.host)) {
      const who = tokens.length === 0 ? "every user of this machine may use it" : `${tokens.length} tokens`;
      return [ok("gateway", `${at.host} only; ${who}`)];
    }
    if (tls) return [ok("gateway", `${tokens.length} tokens, over HTTPS`)];
    return [
      warning(
        "gateway",
        `${at.host} without TLS: tokens and tensors can be read on the way`,
        "--gateway-tls, or a proxy with it",
      ),
    ];
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    return [problem("gateway", error.message, "asoc would not start with it")];
  }
}

/** Linux: whether a crash would write the key to a disk. */
async function coreDumpFinding(): Promise<Finding[]> {
  const limits = await readFile("/proc/self/limits", "utf8").catch(() => "");
  const soft = /^Max core file size\s+(\S+)/m.exec(limits)?.[1];
  if (soft === undefined) return [];
  if (soft === "0") return [ok("core dumps", "off")];
  return [
    warning(
      "core dumps",
      `up to ${soft} bytes: one would hold the key`,
      "ulimit -c 0, or LimitCORE=0 in the unit",
    ),
  ];
}

async function modeOf(path: string): Promise<number | undefined> {
  if (process.platform === "win32") return undefined;
  return stat(path).then(
    ({ mode }) => mode & 0o777,
    () => undefined,
  );
}

const octal = (mode: number) => mode.toString(8).padStart(3, "0");
