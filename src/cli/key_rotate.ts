/** `asoc key rotate`: joins, and gives every peer a new key. */
import { createInterface } from "node:readline/promises";
import {
  AsocError,
  type AsocNode,
  type RotationPeer,
  type RotationReport,
  type RotationResult,
} from "../mod.ts";
import type { Context } from "./command.ts";
import { flag, nodeSettings } from "./config.ts";
import { CliError, ExitCode, Interrupted, usageError } from "./exit_codes.ts";
import { withNode } from "./joined.ts";
import type { Output } from "./output.ts";
import { DEFAULT_TIMEOUT_S, discardIncoming, lookAround } from "./targets.ts";

const DEFAULT_WAIT_MS = 30_000;
const DEFAULT_GRACE_MS = 24 * 3_600_000;

const WORDS: { readonly [Result in RotationResult]: string } = {
  v1: "cannot follow: speaks version 1 only",
  refuses: "cannot follow: takes no keys from peers",
  noKeyExchange: "cannot follow: no key exchange on its connection",
  asked: "has not answered",
  hasKey: "can follow",
  switched: "switched",
  unconfirmed: "has the key, has not said that it switched; it will when it meets it in use",
  refused: "refused it: it has 4 keys that hold, or cannot write its file",
  busy: "holds the key of another rotation",
  gone: "is gone",
};

export async function rotateCommand({ args, env, output }: Context): Promise<ExitCode> {
  const graceMs = flag("duration", args, "grace") ?? DEFAULT_GRACE_MS;
  const waitMs = flag("duration", args, "wait") ?? DEFAULT_WAIT_MS;
  const settings = await nodeSettings(args, env, 0);
  if (settings.keySource.ringFile === undefined)
    throw usageError(
      `rotate: expected keys of a key ring, which the new one can be added to; got those of ${settings.keySource.name}. ` +
        "asoc key add FILE --key-ring RING makes one",
    );
  const dryRun = args.has("dry-run");
  return withNode(settings, output, {
    announces: false,
    stays: false,
    takesTensors: false,
    async run(node, stop) {
      discardIncoming(node, output, "key rotate");
      const missing = await lookAround(node, settings, Math.min(DEFAULT_TIMEOUT_S * 1000, waitMs), stop);
      const plan = await node.keys.rotate({ dryRun: true });
      if (dryRun) {
        list(plan, output);
        return ExitCode.OK;
      }
      const leaveBehind = args.has("yes");
      const behind = plan.peers.filter(({ result }) => result !== "hasKey");
      if (!leaveBehind && (behind.length > 0 || missing.length > 0)) {
        list(plan, output);
        throw new CliError(
          ExitCode.FAILURE,
          "ASOC_ROTATION",
          `Nothing was changed: ${behind.length} peers cannot follow, and ${missing.length} were not found. ` +
            "--yes rotates all the same: they have the key before until its end, and then need the new one by hand",
        );
      }
      if (!leaveBehind && !(await confirmed(plan.peers.length, graceMs, output, stop))) {
        output.log("nothing was changed");
        return ExitCode.FAILURE;
      }
      const report = await node.keys.rotate({
        graceMs,
        waitMs,
        leaveBehind,
        signal: stop,
        onProgress: progress(output),
      });
      list(report, output);
      return outcome(node, report, output);
    },
  });
}

/** Asks on a terminal only: elsewhere the command is what somebody meant. */
async function confirmed(
  count: number,
  graceMs: number,
  output: Output,
  stop: AbortSignal,
): Promise<boolean> {
  if (!process.stdin.isTTY || output.json) return true;
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const question = `asoc: give ${count} peers a new key, and end the one before in ${graceMs / 3_600_000} h? [y/N] `;
    return /^y(es)?$/i.test((await lines.question(question, { signal: stop })).trim());
  } catch (error) {
    if (stop.aborted) throw new Interrupted("interrupted");
    throw error;
  } finally {
    lines.close();
  }
}

/** A line whenever a peer got further. */
function progress(output: Output): (peers: readonly RotationPeer[]) => void {
  let said = "";
  return (peers) => {
    const count = (...results: RotationResult[]) =>
      peers.filter(({ result }) => results.includes(result)).length;
    const switched = count("switched");
    const has = switched + count("hasKey", "unconfirmed");
    const text = `${has} of ${peers.length} peers have the new key, ${switched} have switched`;
    if (text === said) return;
    said = text;
    output.note({ event: "rotating", peers: peers.length, has, switched }, text);
  };
}

function list({ peers }: RotationReport, output: Output): void {
  const width = Math.max(4, ...peers.map(({ peer }) => peer.id.length));
  if (!output.json) output.event({ event: "peers" }, `${"PEER".padEnd(width)}  RESULT`);
  for (const { peer, result } of peers)
    output.event({ event: "rotated", id: peer.id, result }, `${peer.id.padEnd(width)}  ${WORDS[result]}`);
}

function outcome(node: AsocNode, report: RotationReport, output: Output): ExitCode {
  const { switched, reason, keyId, oldKeyId, oldNotAfterMs, epoch } = report;
  const until = oldNotAfterMs === undefined ? undefined : new Date(oldNotAfterMs).toISOString();
  const event = { event: "rotation", switched, reason, keyId, oldKeyId, until, epoch, nodeId: node.id };
  if (!switched) {
    output.event(event, undefined);
    throw new AsocError("ASOC_ROTATION", `Everything is as it was before: ${reason}`);
  }
  output.event(event, `key ${keyId} signs; ${oldKeyId} is believed until ${until ?? "further notice"}`);
  return report.peers.some(({ result }) => result === "unconfirmed") ? ExitCode.INCOMPLETE : ExitCode.OK;
}
