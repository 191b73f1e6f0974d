/** `asoc send`: sends files to peers. */
import type { Command, Context } from "./command.ts";
import { flag, nodeSettings } from "./config.ts";
import { type ExitCode, usageError } from "./exit_codes.ts";
import { withNode } from "./joined.ts";
import type { FileToSend } from "./send_file.ts";
import { SendJob, type SendRequest, STDIN } from "./send_job.ts";
import { checkTopic, TENSOR_FLAGS, tensorFlags } from "./send_options.ts";
import { DEFAULT_TIMEOUT_S, parseTargets, withTargets } from "./targets.ts";
import { readTensorFile } from "./tensor_files.ts";
import { TransferStates } from "./transfer_states.ts";

export const send: Command = {
  name: "send",
  summary: "send files to peers",
  usage: "send FILE... --to PEER|all [--to ...] [FLAGS]",
  about: `Sends each FILE, one after another, to every target at once. A FILE of - is standard input.
PEER is a node id or the beginning of one, a name, or HOST:PORT; all means every peer that is found.

A .npy file is sent as its tensor and a .safetensors file as its tensors, with their names, types and shapes; any other
file, standard input and what goes to a peer of version 0.1 as the bytes that it is. Each tensor is verified by its
receiver. A file may be larger than memory.

A transfer that is cut off goes on where it was: by itself when the connection breaks, and when the same command is given
again within two minutes after this program was ended, whatever ended it. ~/.asoc/transfers holds what that needs. What
was sent to its end, to a peer that was started again before it could say that it has it, is sent again only with --again.

Ctrl-C finishes the file under way, a second one ends at once; what comes from standard input is given up at the first,
because nobody could tell whether it was whole.`,
  flags: {
    to: { value: "PEER|all", multiple: true, help: "whom to send to" },
    timeout: { value: "SECONDS", help: `how long to wait for them (default ${DEFAULT_TIMEOUT_S})` },
    ...TENSOR_FLAGS,
    again: { help: "send again what a peer may have had before it was started again" },
    "no-resume": { help: "keep nothing for a later run, and do not go on with an earlier one" },
  },
  joins: true,
  examples: [
    ["asoc send model.safetensors --to all", "to every node that is found"],
    ["asoc send a.npy b.npy --to gpu1 --to 3f2a", "two files to two nodes, by name and by id"],
    ["asoc send kv.npy --to gpu1 --topic kv/layer0 --priority 200 --deadline 0.5", "urgent, or not at all"],
    ["asoc send model.safetensors --raw --to gpu1", "the file as it is, byte for byte"],
    ["./make_tensor | asoc send - --to 10.0.0.5:9000", "from a pipe to an address, without discovery"],
  ],
  run: sendCommand,
};

async function sendCommand({ args, env, output }: Context): Promise<ExitCode> {
  const files = args.positionals;
  if (files.length === 0) throw usageError("send: expected FILE..., or - for standard input; got nothing");
  if (files.filter((file) => file === STDIN).length > 1) throw usageError("send: - can be given once");
  const targets = args.list("to");
  const wanted = parseTargets(targets);
  const timeoutMs = (flag("seconds", args, "timeout") ?? DEFAULT_TIMEOUT_S) * 1000;
  const flags = tensorFlags(args);
  const sources: (FileToSend | typeof STDIN)[] = [];
  for (const path of files) {
    if (path === STDIN) {
      sources.push(STDIN);
      continue;
    }
    const bytes = await readTensorFile(path, { raw: true });
    const tensors = flags.raw ? bytes : await readTensorFile(path);
    checkTopic(flags, tensors);
    sources.push({ path, tensors, bytes });
  }
  const asked = withTargets(await nodeSettings(args, env, 0), wanted);
  const states = args.has("no-resume") ? undefined : await TransferStates.open(env, output);
  const { deadlineMs: _, ...same } = flags;
  const what = [asked.community, [...targets].sort(), asked.peers, same];
  for (const source of sources) if (source !== STDIN) await states?.find(source.path, what);
  const settings = states ? await states.withNodeId(asked) : asked;
  const request: SendRequest = {
    sources,
    wanted,
    settings,
    timeoutMs,
    flags,
    again: args.has("again"),
    states,
  };
  try {
    return await withNode(settings, output, new SendJob(request, output));
  } finally {
    await states?.close();
  }
}
