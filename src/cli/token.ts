/** `asoc token`: makes a token for the gateway. */
import type { Scope, TokenRecord } from "../../gateway/mod.ts";
import type { Command, Context } from "./command.ts";
import { flag } from "./config.ts";
import { ExitCode, usageError } from "./exit_codes.ts";
import { defaultTokenFile, readTokens, writeTokens } from "./token_file.ts";

export const token: Command = {
  name: "token",
  summary: "make a token for the gateway",
  usage: "token [--scope SCOPES] [--name NAME] [--file FILE]",
  about: `Prints a token that opens the gateway of asoc serve --gateway, once: only its hash is kept, in
~/.asoc/gateway-tokens.json. A gateway that finds tokens there wants one of everybody. Scopes: read (peers, streams,
tensors), tap (events and bytes as they pass), inject (send), admin (all). Each of them holds read. To take a token back,
delete its entry in that file and start the gateway anew.`,
  flags: {
    scope: { value: "SCOPES", help: "of read, tap, inject, admin, separated by commas (default read,tap)" },
    name: { value: "NAME", help: "what or whom it is for" },
    file: { value: "FILE", help: "add it to FILE instead" },
  },
  joins: false,
  examples: [
    ["asoc token", "one that may look"],
    ["asoc token --scope inject --name notebook", "one that may send"],
    ['curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8080/v1/peers', "how it is used"],
    [
      "asoc serve --gateway 0.0.0.0:8080 --gateway-host gpu1",
      "from other machines too, as http://gpu1:8080 or by address",
    ],
  ],
  run: tokenCommand,
};

async function tokenCommand({ args, env, output }: Context): Promise<ExitCode> {
  if (args.positionals.length > 0)
    throw usageError(`token: expected no words, got ${args.positionals.join(" ")}`);
  const { makeToken, SCOPES, tokenHash } = await import("../../gateway/mod.ts");
  const scopes: Scope[] = [];
  for (const text of (args.text("scope") ?? "read,tap").split(",")) {
    const scope = SCOPES.find((one) => one === text.trim());
    if (!scope)
      throw usageError(`--scope: expected some of ${SCOPES.join(",")}, got ${JSON.stringify(text)}`);
    if (!scopes.includes(scope)) scopes.push(scope);
  }
  const name = flag("name", args, "name") ?? "";
  const file = flag("path", args, "file") ?? defaultTokenFile(env);
  const tokens = await readTokens(file, false);
  const text = makeToken();
  const record: TokenRecord = { hash: tokenHash(text), scopes, name, createdAt: new Date().toISOString() };
  await writeTokens(file, [...tokens, record]);
  output.event({ event: "token", token: text, ...record, file }, text);
  if (!output.json) output.log(`kept in ${file}: sha256 ${record.hash}, scopes ${scopes.join(",")}`);
  return ExitCode.OK;
}
