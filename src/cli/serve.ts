/** `asoc serve`: a node that stays. */
import { type AsocNode, DEFAULT_PORT, type IncomingStream } from "../mod.ts";
import type { Command, Context } from "./command.ts";
import { flag, nodeSettings } from "./config.ts";
import { EchoReplies } from "./echo.ts";
import { ExitCode, usageError } from "./exit_codes.ts";
import { makeOutDir } from "./files.ts";
import { GATEWAY_FLAGS, gatewaySettings, openGateway } from "./gateway.ts";
import { withNode } from "./joined.ts";
import { FORMAT_FLAG, Receiver } from "./receive.ts";
import { bytesText } from "./text.ts";

export const serve: Command = {
  name: "serve",
  summary: "a node that stays and takes what comes",
  usage: "serve [--out DIR [--format FORMAT]] [--gateway [HOST:PORT]] [FLAGS]",
  about: `Joins and stays until Ctrl-C, which lets tensors under way finish; a second one ends at once.

With --out the tensors that arrive whole become files of DIR, and their paths are printed: a .npy file is a .npy file again
and a .safetensors file a .safetensors file, named as it was; other bytes are named as their file or topic, or
TIME-PEER-STREAM, with the extension .npy, .safetensors or .bin by their content. Nothing that exists is overwritten: the
next one is NAME-2. --format npy, safetensors or raw writes every tensor so. Without --out tensors are counted and thrown away.

--gateway opens the node to curl, browsers and NumPy over HTTP, on 127.0.0.1:8080 unless told otherwise; elsewhere than on
this machine only with a token (asoc token).`,
  flags: { out: { value: "DIR", help: "write tensors to files in DIR" }, ...FORMAT_FLAG, ...GATEWAY_FLAGS },
  joins: true,
  examples: [
    ["asoc serve --out tensors", "port 9000, found by discovery"],
    ["asoc serve --port 0 --name gpu1 --state-dir ~/.asoc/gpu1", "any free port; others send --to gpu1"],
    ["asoc serve --peers 10.0.0.5:9000,10.0.0.6:9000", "static peers, no discovery"],
    ["asoc serve --gateway", "a dashboard and an HTTP API on http://127.0.0.1:8080"],
    ["asoc serve --json | jq .", "one JSON object for each event"],
  ],
  run: serveCommand,
};

async function serveCommand({ args, env, output }: Context): Promise<ExitCode> {
  if (args.positionals.length > 0)
    throw usageError(`serve: expected no words, got ${args.positionals.join(" ")}`);
  const out = flag("path", args, "out");
  const format = flag("format", args, "format");
  if (format !== undefined && out === undefined)
    throw usageError("--format: expected --out DIR with it; without files nothing is written");
  const gateway = await gatewaySettings(args, env);
  const settings = await nodeSettings(args, env, DEFAULT_PORT);
  if (out !== undefined) await makeOutDir(out);
  let joined: AsocNode | undefined;
  const replies = new EchoReplies();
  const answer = async (stream: IncomingStream, request: Uint8Array) => {
    if (joined) await replies.answer(joined, stream, request);
  };
  const receiver = new Receiver(output, { out, format, answer });
  return withNode(settings, output, {
    announces: true,
    stays: true,
    onEvent: (event) => receiver.onEvent(event),
    async run(node) {
      joined = node;
      const server = gateway && (await openGateway(node, gateway, settings.name, output));
      try {
        for await (const stream of node.incoming) receiver.take(stream);
      } finally {
        await server?.close();
      }
      await receiver.settled();
      const failed = receiver.failed > 0 ? `, ${receiver.failed} failed` : "";
      output.log(
        `closed; ${receiver.received} tensors received (${bytesText(receiver.receivedBytes)})${failed}`,
      );
      return ExitCode.OK;
    },
  });
}
