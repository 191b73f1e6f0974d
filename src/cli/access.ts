/** `asoc access`: what a file of access rules says. */
import { AccessRules, type Permissions } from "../mod.ts";
import { readAccess } from "./access_file.ts";
import type { Command, Context } from "./command.ts";
import { check, flag } from "./config.ts";
import { ExitCode, usageError } from "./exit_codes.ts";

/** What a rule that goes by that is worth. */
const WORTH: Readonly<Record<Permissions["binding"], string>> = {
  certificate: "binds",
  address: "worth as much as the network",
  advisory: "advisory: any holder of the key can claim a uuid",
  everyone: "everybody",
};

export const access: Command = {
  name: "access",
  summary: "check a file of access rules",
  usage: "access FILE [--address ADDRESS [--node-id UUID] [--certificate SHA256] [--topic TOPIC]]",
  about: `Reads the rules of FILE as --access does, and lists them in order with what each is worth. With --address it says instead
which of them fits such a peer, and what it may do. Ends with 2 where asoc would not start with FILE.`,
  flags: {
    address: { value: "ADDRESS", help: "IP address that a peer would come from" },
    "node-id": { value: "UUID", help: "its uuid" },
    certificate: { value: "SHA256", help: "of the certificate that it would show" },
    topic: { value: "TOPIC", help: "a topic that it would send, receive or tap" },
  },
  joins: false,
  examples: [
    ["asoc access rules.json", "are they in order, and which of them bind?"],
    ["asoc access rules.json --address 10.2.0.7 --topic kv/layer0", "what may a machine of the lab do?"],
  ],
  run: accessCommand,
};

async function accessCommand({ args, output }: Context): Promise<ExitCode> {
  const [file, ...more] = args.positionals;
  if (file === undefined || more.length > 0) throw usageError("access: expected one FILE");
  const options = await readAccess(file);
  const rules = new AccessRules(options);
  const host = args.text("address");
  if (host === undefined) {
    for (const name of ["node-id", "certificate", "topic"])
      if (args.has(name)) throw usageError(`--${name}: expected --address with it`);
    for (const [index, { rule, binding }] of rules.listing.entries())
      output.event({ event: "rule", index, rule, binding }, `${index + 1}. ${rule}: ${WORTH[binding]}`);
    const fallback = options.default ?? "allow";
    output.event({ event: "default", default: fallback }, `otherwise: ${fallback}`);
    return ExitCode.OK;
  }
  const nodeId = flag("nodeId", args, "node-id")?.toLowerCase();
  const certificate = args.has("certificate")
    ? check("fingerprint", "--certificate", args.text("certificate") ?? "")
    : undefined;
  const topic = flag("topic", args, "topic") ?? "";
  const { rule, binding, mayConnect, maySend, mayReceive, mayTap, quota } = rules.permissionsOf({
    host: check("ipAddress", "--address", host),
    nodeId,
    certificate,
  });
  const may = {
    connect: mayConnect,
    send: mayConnect && maySend(topic),
    receive: mayConnect && mayReceive(topic),
    tap: mayConnect && mayTap(topic),
  };
  const words = Object.entries(may).map(([what, allowed]) => `${allowed ? "may" : "may not"} ${what}`);
  const which = rule === "default" ? "no rule fits" : `rule ${rule} (${WORTH[binding]})`;
  output.event(
    { event: "permissions", rule, binding, topic, ...may, quota },
    `${which}: ${words.join(", ")}`,
  );
  return ExitCode.OK;
}
