/**
 * The transfers of one run of `asoc send`: finds what earlier runs have left, and chooses the node id to go on under.
 *
 * What a run has left is found by machine, community, targets, file and what is said of it: the same arguments. It is held
 * by one process at a time, as is the node id: two processes under one would push each other out.
 */
import { createHash } from "node:crypto";
import { mkdir, realpath } from "node:fs/promises";
import { homedir, hostname } from "node:os";
import { join } from "node:path";
import { carriesName } from "../mod.ts";
import { drop, hold, removeOld, takeOver } from "./claims.ts";
import type { NodeSettings } from "./config.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { type Environment, reason } from "./key.ts";
import type { Output } from "./output.ts";
import { type Earlier, type Place, readEarlier, TransferState } from "./transfer_state.ts";

/** What nobody has asked for in so long is removed. */
const KEPT_MS = 7 * 24 * 3600 * 1000;

/** One file of this run. */
interface Entry extends Place {
  readonly earlier: Earlier | undefined;
}

export class TransferStates {
  readonly #dir: string;
  readonly #output: Output;
  readonly #entries = new Map<string, Entry>();
  /** The file that holds the node id, and how many transfers are left that need it. */
  #nodePath: string | undefined;
  #nodeId: string | undefined;
  #unfinished = 0;

  private constructor(dir: string, output: Output) {
    this.#dir = dir;
    this.#output = output;
  }

  /** Those of `~/.asoc/transfers`; undefined, with a line that says why, when it cannot be used. */
  static async open(env: Environment, output: Output): Promise<TransferStates | undefined> {
    const dir = join(env.HOME || homedir(), ".asoc", "transfers");
    try {
      await mkdir(dir, { recursive: true, mode: 0o700 });
      await removeOld(dir, KEPT_MS);
      return new TransferStates(dir, output);
    } catch (error) {
      output.log(`cannot keep in ${dir} how far transfers are (${reason(error)}): they cannot be resumed`);
      return undefined;
    }
  }

  /** Looks for what an earlier run has left of sending `path`; `what` is all that makes it the same sending. */
  async find(path: string, what: unknown): Promise<void> {
    if (this.#entries.has(path)) return; // given twice: the second time it is sent without
    const key = JSON.stringify([hostname(), await realpath(path), what]);
    const stem = `file-${createHash("sha256").update(key).digest("hex").slice(0, 32)}`;
    const fingerprint = await fingerprintOf(path);
    const found = await takeOver(this.#dir, stem);
    if (found.kind === "held") {
      this.#output.log(
        `${path}: process ${found.pid} sends it to the same targets; this is another transfer of it`,
      );
    }
    const earlier = found.kind === "taken" ? await readEarlier(found.path) : undefined;
    if (found.kind === "taken" && !earlier) await drop(found.path);
    if (earlier && earlier.head.fingerprint !== fingerprint) {
      this.#output.log(`${path}: has changed since its transfer was cut off; it is sent anew`);
    }
    this.#entries.set(path, { dir: this.#dir, stem, fingerprint, earlier });
  }

  /** `settings` with the node id that what was found needs, where they leave it open. */
  async withNodeId(settings: NodeSettings): Promise<NodeSettings> {
    const { nodeId, stateDir, name, community } = settings;
    if (nodeId !== undefined || stateDir !== undefined) return settings;
    for (const [path, { earlier, fingerprint }] of this.#entries) {
      if (!earlier || earlier.head.fingerprint !== fingerprint) continue;
      const { head } = earlier;
      if (name !== undefined && !(await carriesName(head.nodeId, community, name))) continue;
      const taken = await takeOver(this.#dir, nodeStem(head.nodeId));
      if (taken.kind !== "taken") {
        this.#output.log(`${path}: its transfer was under a node id that is in use; it is sent anew`);
        continue;
      }
      this.#nodePath = taken.path;
      this.#nodeId = head.nodeId;
      return { ...settings, nodeId: head.nodeId, name: undefined };
    }
    return settings;
  }

  /** The transfer of `path`, whose turn has come. Undefined, with a line that says why, when it cannot be kept. */
  async begin(path: string, nodeId: string): Promise<TransferState | undefined> {
    const entry = this.#entries.get(path);
    if (!entry) return undefined;
    this.#entries.delete(path);
    try {
      if (this.#nodeId !== nodeId) {
        this.#nodePath = await hold(this.#dir, nodeStem(nodeId), "");
        this.#nodeId = nodeId;
      }
      const state = await TransferState.begin(entry, entry.earlier, nodeId, this.#output);
      this.#unfinished++;
      if (state.resumes) this.#output.log(`${path}: goes on with its transfer that was cut off`);
      return state;
    } catch (error) {
      this.#output.log(
        `cannot keep how far the transfer of ${path} is (${reason(error)}): it cannot be resumed`,
      );
      return undefined;
    }
  }

  /** The transfer is through, or is left for another run. */
  async end(state: TransferState, isDone: boolean): Promise<void> {
    if (!isDone) return state.leave();
    await state.finish();
    this.#unfinished--;
  }

  /** The run is over. */
  async close(): Promise<void> {
    const waits = [...this.#entries.values()].some(({ earlier }) => earlier?.head.nodeId === this.#nodeId);
    if (this.#nodePath !== undefined && this.#unfinished === 0 && !waits) await drop(this.#nodePath);
  }
}

function nodeStem(nodeId: string): string {
  return `node-${nodeId}`;
}
