/**
 * The libraries that the benchmark runs beside ASoc: what each needs, and how its two roles are started.
 *
 * All obey the commands that common.ts describes. `npm run bench:install` installs what they need.
 */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { commandFor, ROOT } from "../../support/process.ts";

export type PeerRole = "receive" | "send";
export const PEERS_FOLDER = join(ROOT, "test", "bench", "peers");
/** The interpreter of the virtual environment that `npm run bench:install` makes. */
export const VENV_PYTHON = join(PEERS_FOLDER, ".venv", "bin", "python");

export interface Peer {
  /** As tables name it. */
  readonly name: string;
  /** What it does in a few words, for a table's note. */
  readonly how: string;
  readonly needs: {
    /** Packages in test/bench/peers/node_modules. */
    readonly npm?: readonly string[];
    /** Modules of the virtual environment. */
    readonly pip?: readonly string[];
    readonly programs?: readonly string[];
  };
  /** Whether it knows "echo" and "ping". */
  readonly canPing: boolean;
  /** Whether one received tensor lands in place; the others copy into the reused tensor, as their users have to. */
  readonly inPlace: boolean;
  command(role: PeerRole): [string, ...string[]];
  /** Names what is not installed; undefined when the peer can run. */
  missing(): Promise<string | undefined>;
  /** The library's version, or undefined when it has none or is not installed. */
  version(): Promise<string | undefined>;
}

function succeeds(file: string, args: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(file, args, { cwd: PEERS_FOLDER, timeout: 60_000 }, (error, stdout) =>
      resolve(error ? undefined : stdout),
    );
  });
}

export function findProgram(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

async function firstMissing({
  npm = [],
  pip = [],
  programs = [],
}: Peer["needs"]): Promise<string | undefined> {
  for (const name of npm) {
    if (!existsSync(join(PEERS_FOLDER, "node_modules", name, "package.json"))) return `npm package ${name}`;
  }
  for (const name of pip) {
    const found = await succeeds(VENV_PYTHON, [
      "-c",
      `import importlib.util as u, sys; sys.exit(not u.find_spec("${name}"))`,
    ]);
    if (found === undefined) return `Python module ${name}`;
  }
  for (const name of programs) if (!findProgram(name)) return `program ${name}`;
  return undefined;
}

async function versionOf({ npm = [], pip = [], programs = [] }: Peer["needs"]): Promise<string | undefined> {
  const [program] = programs;
  const path = program && findProgram(program);
  if (path) return /\d+(\.\d+)+/.exec((await succeeds(path, ["--version"])) ?? "")?.[0];
  const [module] = pip;
  if (module)
    return (await succeeds(VENV_PYTHON, ["-c", `import ${module}; print(${module}.__version__)`]))?.trim();
  const [name] = npm;
  const manifest = name && join(PEERS_FOLDER, "node_modules", name, "package.json");
  if (!manifest || !existsSync(manifest)) return undefined;
  return (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;
}

function peer(
  fields: Omit<Peer, "command" | "missing" | "version" | "canPing" | "inPlace"> & Partial<Peer>,
): Peer {
  const { needs } = fields;
  return {
    canPing: true,
    inPlace: false,
    command: () => ["false"],
    missing: () => firstMissing(needs),
    version: () => versionOf(needs),
    ...fields,
  };
}

function onNode(name: string, file: string, how: string, needs: Peer["needs"]): Peer {
  return peer({
    name,
    how,
    needs,
    command: (role) => commandFor("node", `test/bench/peers/${file}`, [role]),
  });
}

export const PEERS: readonly Peer[] = [
  peer({
    name: "torch gloo",
    how: "torch.distributed send and recv into the same tensor",
    needs: { pip: ["torch"] },
    inPlace: true,
    command: (role) => [VENV_PYTHON, join(PEERS_FOLDER, "torch_gloo.py"), role],
  }),
  peer({
    name: "pyzmq",
    how: "messages of 1 MiB, sent without a copy",
    needs: { pip: ["zmq"] },
    command: (role) => [VENV_PYTHON, join(PEERS_FOLDER, "pyzmq.py"), role],
  }),
  onNode("zeromq.js", "zeromq.mjs", "messages of 1 MiB, sent without a copy", { npm: ["zeromq"] }),
  onNode("undici", "undici.mjs", "PUT to a node:http server, two pipelined", { npm: ["undici"] }),
  onNode("ws", "ws.mjs", "messages of 1 MiB, no masking, no compression", { npm: ["ws"] }),
  onNode("js-libp2p", "libp2p.mjs", "TCP, yamux, plaintext", {
    npm: ["libp2p", "@libp2p/tcp", "@libp2p/yamux", "@libp2p/plaintext", "@multiformats/multiaddr"],
  }),
  onNode("NATS", "nats.mjs", "messages of 1 MiB through nats-server", {
    npm: ["@nats-io/transport-node"],
    programs: ["nats-server"],
  }),
  onNode("grpc-js", "grpc.mjs", "server stream of 1 MiB messages", { npm: ["@grpc/grpc-js"] }),
  peer({
    name: "Python v0.1 peer",
    how: "the peer of the interop tests, asyncio",
    needs: { programs: ["python3"] },
    canPing: false,
    command: (role) => ["python3", join(PEERS_FOLDER, "v01.py"), role],
  }),
];
