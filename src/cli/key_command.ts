/** `asoc key`: the keys of this machine, and the rotation of a community's. */
import { randomBytes } from "node:crypto";
import { deriveClusterKey, type KeyInfo, type KeyRing, openKeyRing } from "../mod.ts";
import type { Command, Context } from "./command.ts";
import { check, flag } from "./config.ts";
import { ExitCode, usageError } from "./exit_codes.ts";
import { type LoadedKey, loadKey, readKeyOf } from "./key.ts";
import { rotateCommand } from "./key_rotate.ts";
import { defaultRingFile, formatRing, readRing, withRingLock, writeRing } from "./ring_file.ts";

const KEY_BYTES = 32;
const ACTIONS = {
  list: listCommand,
  add: addCommand,
  use: useCommand,
  revoke: revokeCommand,
  derive: deriveCommand,
  rotate: rotateCommand,
} as const;

export const keyCommand: Command = {
  name: "key",
  summary: "list, add, rotate and revoke keys",
  usage: "key list | add [FILE] [--current] | use ID | revoke ID | derive --cluster NAME | rotate [FLAGS]",
  about: `A key ring, ~/.asoc/keys.json, holds up to four keys that are believed at once; the current one signs. Nodes that run read
the file again when it changes, and on SIGHUP. Without a ring the one key of ~/.asoc/api_key is its first.

  list     shows ids and dates, never keys
  add      puts the key of FILE ("-": standard input) into the ring, or a new one without FILE; --current: it signs at once
  use      makes a key current
  revoke   ends one for good, with all connections that rest on it; the last one that can sign stays, so add another before
  derive   prints the key of one cluster, made of the key at hand as master key (PBKDF2, 600,000 rounds)
  rotate   joins the community, gives every peer a new key, and switches once all have it; else nothing changes. The key
           before is believed for --grace, for those who were away. Ends with 4 when a peer has not said that it switched

Only rotate takes the flags of joining, but for --api-key-file and --key-ring. Every holder of the key can rotate: after
a theft give the new key out by hand, add it everywhere, and revoke the old one (RFC-0002, section 6).`,
  flags: {
    current: { help: "add: it signs at once" },
    "not-before": { value: "DATE", help: "add: it holds from then on" },
    "not-after": { value: "DATE", help: "add: it holds until then" },
    cluster: { value: "NAME", help: "derive: the cluster" },
    grace: { value: "TIME", help: "rotate: how long the key before is believed (default 24h)" },
    wait: { value: "TIME", help: "rotate: how long to wait for all peers (default 30s)" },
    yes: { help: "rotate: do not ask, and leave behind who cannot follow" },
    "dry-run": { help: "rotate: only say who would follow" },
  },
  joins: true,
  examples: [
    ["asoc key list", "which keys are there, and until when?"],
    ["asoc key rotate --dry-run", "who would follow?"],
    ["asoc key rotate --grace 2h", "a new key for everybody; the one before ends in two hours"],
    ["asoc key add new.key --current", "a new key that came by other means"],
    ["asoc key revoke 84bdfe9b", "after a theft: every connection with that key ends"],
    ["asoc key derive --cluster lab --api-key-file master.key", "a key of its own for each cluster"],
  ],
  run(context) {
    const [word = "", ...rest] = context.args.positionals;
    const action = Object.hasOwn(ACTIONS, word) ? ACTIONS[word as keyof typeof ACTIONS] : undefined; // it has it
    if (!action)
      throw usageError(
        `key: expected ${Object.keys(ACTIONS).join(", ")}; got ${word === "" ? "nothing" : word}`,
      );
    const most = word === "add" || word === "use" || word === "revoke" ? 1 : 0;
    if (rest.length > most) throw usageError(`key ${word}: expected no further word, got ${rest.join(" ")}`);
    return action(context);
  },
};

async function loaded({ args, env }: Context): Promise<LoadedKey> {
  return loadKey(flag("path", args, "api-key-file"), env, flag("path", args, "key-ring"));
}

async function listCommand(context: Context): Promise<ExitCode> {
  const { output } = context;
  const { keys, source } = await loaded(context);
  const unixMs = Date.now();
  const ring = await openKeyRing(keys);
  if (!output.json) output.event({ event: "keys" }, "ID        STATE     EPOCH  FROM                  UNTIL");
  for (const key of ring.list(unixMs))
    output.event({ event: "key", source, ...shown(key) }, line(key, unixMs));
  if (!output.json) output.log(`from ${source}`);
  return ExitCode.OK;
}

function shown({ id, state, epoch, notBeforeMs, notAfterMs, valid, signs }: KeyInfo) {
  return { id, state, epoch, notBefore: date(notBeforeMs), notAfter: date(notAfterMs), valid, signs };
}

function date(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString();
}

function line({ id, state, epoch, notBeforeMs, notAfterMs, signs }: KeyInfo, unixMs: number): string {
  const from = notBeforeMs === undefined ? "" : new Date(notBeforeMs).toISOString().slice(0, 19);
  const until = notAfterMs === undefined ? "" : new Date(notAfterMs).toISOString().slice(0, 19);
  const ended = notAfterMs !== undefined && notAfterMs <= unixMs ? " (ended)" : signs ? " (signs)" : "";
  return `${id}  ${state.padEnd(8)}  ${String(epoch).padEnd(5)}  ${from.padEnd(20)}  ${until}${ended}`.trimEnd();
}

/** Changes the ring's file; one that is not there yet begins with the key at hand. Returns the file. */
async function changeRing(context: Context, change: (ring: KeyRing) => void): Promise<string> {
  const { args, env } = context;
  const named = flag("path", args, "key-ring") ?? (env.ASOC_KEY_RING || undefined);
  const file = named ?? defaultRingFile(env);
  return withRingLock(file, async () => {
    const there = await readRing(file);
    const found = there ? undefined : await keysAtHand(context, named !== undefined);
    const ring = await openKeyRing(there?.keys ?? found ?? []);
    try {
      change(ring);
    } catch (error) {
      if (error instanceof RangeError) throw usageError(error.message);
      throw error;
    }
    await writeRing(file, formatRing(ring.snapshot()));
    return file;
  });
}

/** What a new ring begins with: the one key that there is; none where a new file was named and there is no other. */
async function keysAtHand({ args, env }: Context, mayBeNone: boolean) {
  try {
    return (await loadKey(flag("path", args, "api-key-file"), { ...env, ASOC_KEY_RING: undefined })).keys;
  } catch (error) {
    if (mayBeNone) return undefined;
    throw error;
  }
}

async function addCommand(context: Context): Promise<ExitCode> {
  const { args, output } = context;
  const [, path] = args.positionals;
  const key =
    path === undefined
      ? new TextEncoder().encode(randomBytes(KEY_BYTES).toString("hex"))
      : await readKeyOf(path);
  const notBeforeMs = flag("date", args, "not-before");
  const notAfterMs = flag("date", args, "not-after");
  let id = "";
  const file = await changeRing(context, (ring) => {
    const first = ring.list(Date.now()).length === 0;
    const state = args.has("current") || first ? "current" : "accepted";
    // Behind the keys of rotations: one that is current by hand is not undone by an older one.
    const epoch = state === "current" ? ring.epoch + (first ? 0 : 1) : ring.epoch;
    id = ring.add({ key, state, epoch, notBeforeMs, notAfterMs }, Date.now());
  });
  output.event({ event: "added", id, file }, id);
  if (!output.json)
    output.log(
      `key ${id} was added to ${file}; every node needs it there before it becomes current anywhere`,
    );
  return ExitCode.OK;
}

async function useCommand(context: Context): Promise<ExitCode> {
  const id = idOf(context, "use");
  const file = await changeRing(context, (ring) => ring.setCurrent(id, Date.now()));
  context.output.event({ event: "current", id, file }, `${id} is current in ${file}`);
  return ExitCode.OK;
}

async function revokeCommand(context: Context): Promise<ExitCode> {
  const id = idOf(context, "revoke");
  const file = await changeRing(context, (ring) => ring.revoke(id, Date.now()));
  context.output.event({ event: "revoked", id, file }, `${id} is revoked in ${file}`);
  if (!context.output.json)
    context.output.log("every other machine has to revoke it too: asoc key revoke there");
  return ExitCode.OK;
}

function idOf({ args }: Context, action: string): string {
  const [, id] = args.positionals;
  if (id === undefined || !/^[0-9a-f]{8}$/.test(id))
    throw usageError(
      `key ${action}: expected the id of a key, 8 hexadecimal digits; asoc key list shows them`,
    );
  return id;
}

async function deriveCommand(context: Context): Promise<ExitCode> {
  const { args, output } = context;
  const name = args.text("cluster");
  if (name === undefined) throw usageError("key derive: expected --cluster NAME");
  const cluster = check("community", "--cluster", name);
  const { key, warnings } = await loaded(context);
  for (const warning of warnings) output.log(`warning: ${warning}`);
  const derived = await deriveClusterKey(key, cluster);
  output.event({ event: "key", cluster, key: derived }, derived);
  return ExitCode.OK;
}
