/** The node id that --state-dir keeps, in DIR/node_id. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { carriesName, parseNodeId } from "../mod.ts";
import type { NodeSettings } from "./config.ts";
import { usageError } from "./exit_codes.ts";
import { reason } from "./key.ts";

const FILE_NAME = "node_id";

/** What is known of this node's id before it joins. */
export interface Identity {
  /** The id to join with; undefined: a new one. */
  readonly nodeId: string | undefined;
  /** The name to make a new id with. */
  readonly name: string | undefined;
  readonly warnings: readonly string[];
  /** Keeps the id that the node got, where that is wanted. */
  keep(nodeId: string): Promise<void>;
}

/** Reads the kept id. Throws a usage error for a directory or a file that cannot serve. */
export async function loadIdentity(settings: NodeSettings): Promise<Identity> {
  const { stateDir, nodeId, name, community } = settings;
  const forget = async () => {};
  if (nodeId !== undefined) return { nodeId, name: undefined, warnings: [], keep: forget };
  if (stateDir === undefined) return { nodeId: undefined, name, warnings: [], keep: forget };
  const file = join(stateDir, FILE_NAME);
  const kept = await readKept(file);
  if (kept === undefined) {
    await makeStateDir(stateDir);
    return { nodeId: undefined, name, warnings: [], keep: (id) => write(file, id) };
  }
  const warnings =
    name !== undefined && !(await carriesName(kept, community, name))
      ? [
          `the id kept in ${file} does not carry the name ${JSON.stringify(name)} in community ${JSON.stringify(community)}: ` +
            "others cannot address this node by it. Remove that file for a new id that does",
        ]
      : [];
  return { nodeId: kept, name: undefined, warnings, keep: forget };
}

async function readKept(file: string): Promise<string | undefined> {
  let text: string;
  try {
    text = (await readFile(file, "utf8")).trim();
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw usageError(`--state-dir: cannot read ${file} (${reason(error)})`);
  }
  try {
    parseNodeId(text);
  } catch {
    throw usageError(`--state-dir: expected a UUID in ${file}, got ${JSON.stringify(text.slice(0, 64))}`);
  }
  return text;
}

async function makeStateDir(stateDir: string): Promise<void> {
  try {
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw usageError(`--state-dir: cannot make ${stateDir} (${reason(error)})`);
  }
}

async function write(file: string, nodeId: string): Promise<void> {
  try {
    await writeFile(file, `${nodeId}\n`, { mode: 0o600, flag: "wx" });
  } catch (error) {
    throw usageError(`--state-dir: cannot write ${file} (${reason(error)})`);
  }
}
