/** `asoc certs`: the certificates of this machine, and a small authority for those of its nodes. */
import type { CertificateSummary } from "../certs/mod.ts";
import { formatNodeId, newNodeId, parseNodeId } from "../mod.ts";
import type { Args } from "./args.ts";
import type { Command, Context } from "./command.ts";
import { flag } from "./config.ts";
import { ExitCode, usageError } from "./exit_codes.ts";
import type { Output } from "./output.ts";

const DEFAULT_DAYS = 365;
const MAX_DAYS = 3650;
/** What may stand in the name of a file. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const HOST = /^[A-Za-z0-9.:-]{1,253}$/;

export const certs: Command = {
  name: "certs",
  summary: "make and show certificates for TLS",
  usage: "certs init | issue NAME|UUID [--out DIR] | list | show [FILE]",
  about: `Nodes that share the key need none of this: asoc serve --tls makes a certificate of its own, and the proof of the key is
bound to it. For identities that do not rest on the key alone, keep a small authority on one machine.

  init     makes the authority in ~/.asoc/certs: ca.pem, which is secret, and ca.crt for all nodes
  issue    makes the certificate of one node, with its id: NAME makes an id that carries that name in --community, UUID
           takes that one. Copy node.pem and ca.crt of --out to ~/.asoc/certs of its machine, and start it with
           --tls=ca --tls-client-cert
  list     shows the certificates of ~/.asoc/certs, and until when they hold
  show     prints the fingerprint of FILE, or of this machine's own certificate, which it makes where there is none

Keys are of mode 600, and nothing prints one. There is no revocation: issue for few days, or keep allow
lists. What comes to its end is warned of here, and when a node starts.`,
  flags: {
    out: {
      value: "DIR",
      help: "issue: write DIR/node.pem and DIR/ca.crt (default ~/.asoc/certs/issued/NAME.pem)",
    },
    for: { value: "HOST", multiple: true, help: "issue: a host name or address that it is for as well" },
    days: { value: "N", help: `issue: valid for so long (default ${DEFAULT_DAYS})` },
    community: { value: "NAME", help: 'issue: where a name is to be known (default "default")' },
    name: { value: "NAME", help: 'init: the name of the authority (default "asoc authority")' },
    "tls-dir": { value: "DIR", help: "folder of certificates instead of ~/.asoc/certs" },
  },
  joins: false,
  examples: [
    ["asoc certs init", "once, on a machine that is kept safe"],
    ["asoc certs issue gpu1 --out gpu1", "then copy both files of gpu1 to ~/.asoc/certs of that machine"],
    ["asoc serve --tls=ca --tls-client-cert", "there: only certified nodes, each under its own id"],
    ["asoc certs show", "the fingerprint that others give to --tls-pin"],
  ],
  run: certsCommand,
};

async function certsCommand({ args, env, output }: Context): Promise<ExitCode> {
  const { defaultCertsFolder, initAuthority, listCertificates } = await import("../certs/mod.ts");
  const folder = flag("path", args, "tls-dir") ?? (env.ASOC_TLS_DIR || defaultCertsFolder(env.HOME));
  const [what, ...words] = args.positionals;
  if (what === "init" && words.length === 0) {
    const name = flag("name", args, "name") ?? "asoc authority";
    say(await initAuthority(folder, name, Date.now()), output);
    output.log(`made an authority in ${folder}; asoc certs issue NAME makes the certificate of a node`);
  } else if (what === "issue" && words.length === 1) {
    say(await issue(words[0] ?? "", folder, args), output);
  } else if (what === "list" && words.length === 0) {
    const found = await listCertificates(folder);
    for (const one of found) say(one, output);
    if (found.length === 0) output.log(`no certificates in ${folder}`);
  } else if (what === "show" && words.length <= 1) {
    await show(words[0], folder, output);
  } else {
    const got = args.positionals.join(" ") || "nothing";
    throw usageError(`certs: expected init, issue NAME|UUID, list or show [FILE], got ${got}`);
  }
  return ExitCode.OK;
}

async function issue(word: string, folder: string, args: Args): Promise<CertificateSummary> {
  const { issueFor } = await import("../certs/mod.ts");
  if (!NAME.test(word))
    throw usageError(
      `certs issue: expected a name of letters, digits, ".", "_" and "-", got ${JSON.stringify(word)}`,
    );
  const days = flag("count", args, "days") ?? DEFAULT_DAYS;
  if (days > MAX_DAYS) throw usageError(`--days: expected a whole number from 1 to ${MAX_DAYS}, got ${days}`);
  const hosts = args.list("for");
  for (const host of hosts)
    if (!HOST.test(host))
      throw usageError(`--for: expected a host name or an address, got ${JSON.stringify(host)}`);
  const out = flag("path", args, "out");
  const nodeId =
    givenId(word) ?? (await newNodeId({ name: word, community: flag("community", args, "community") }));
  return issueFor(folder, { name: word, nodeId, hosts, days }, out, Date.now());
}

function givenId(word: string): string | undefined {
  try {
    return formatNodeId(parseNodeId(word));
  } catch {
    return undefined; // a name, then
  }
}

/** This machine's certificate, or that of a file; made if it is the former and not there. */
async function show(file: string | undefined, folder: string, output: Output): Promise<void> {
  const { openNodeCertificate, readPem, summaryOf } = await import("../certs/mod.ts");
  if (file !== undefined) return say(summaryOf(file, await readPem(file)), output);
  const { file: own, certificatePem, next } = await openNodeCertificate(folder);
  say(summaryOf(own, certificatePem, next), output);
}

function say(one: CertificateSummary, output: Output): void {
  const { file, name, nodeId, sha256, validTo, isAuthority } = one;
  const what = isAuthority ? "authority" : (nodeId ?? "no node id");
  const text = `${file}\n  ${name}, ${what}, until ${validTo.slice(0, 10)}\n  sha256 ${sha256}`;
  output.event({ event: "certificate", ...one }, text);
  if (one.warning !== undefined) output.log(`warning: ${one.warning}`);
}
