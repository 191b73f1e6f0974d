/** The texts of --help, made from what the commands declare. */
import { VERSION } from "../mod.ts";
import { COMMON_FLAGS, type Flags, JOIN_FLAGS } from "./args.ts";
import type { Command } from "./command.ts";
import { exitCodesHelp } from "./exit_codes.ts";

const ENVIRONMENT_HELP = `Environment (a flag goes before its variable):
  ASOC_API_KEY         the shared key itself
  ASOC_API_KEY_FILE    file that holds it, as --api-key-file
  ASOC_KEY_RING        file that holds several, as --key-ring (see asoc key)
                       The first that is set counts; without any, ~/.asoc/keys.json
                       or else ~/.asoc/api_key. Both of mode 600
  ASOC_COMMUNITY  ASOC_HOST  ASOC_PORT  ASOC_PEERS  ASOC_DISCOVERY_PORT
                       as --community --host --port --peers --discovery-port
  ASOC_TLS  ASOC_TLS_CERT  ASOC_TLS_KEY  ASOC_TLS_CA  ASOC_TLS_PIN  ASOC_TLS_DIR
                       as --tls=MODE --tls-cert --tls-key --tls-ca --tls-pin --tls-dir;
                       several of CA and PIN separated by commas`;

/** All flags that `command` takes. */
export function flagsOf(command: Command): Flags {
  return { ...command.flags, ...(command.joins ? JOIN_FLAGS : {}), ...COMMON_FLAGS };
}

/** `asoc --help`. */
export function generalHelp(commands: readonly Command[]): string {
  const list = commands.map(({ name, summary }) => `  ${name.padEnd(8)} ${summary}`);
  return `asoc ${VERSION}: moves tensors between machines

Each machine runs a node. Nodes with the same community and the same key find each other in the local network, or by
address (--peers), and are peers then.

Usage: asoc COMMAND [FLAGS]

Commands:
${list.join("\n")}

  asoc COMMAND --help shows what a command does, and its flags; asoc --version the version.

Examples:
  asoc keygen --write                           make a key; copy ~/.asoc/api_key to the other machines
  asoc serve --out tensors                      on one machine: stay, and keep what comes
  asoc send model.safetensors --to all          on another: send a file to every node that is found
  asoc doctor                                   when nobody is found: what is in the way?

${ENVIRONMENT_HELP}

${exitCodesHelp(true)}
`;
}

/** `asoc COMMAND --help`. */
export function commandHelp(command: Command): string {
  const sections = [
    `asoc ${command.name}: ${command.summary}\n\nUsage: asoc ${command.usage}\n\n${command.about}`,
  ];
  if (Object.keys(command.flags).length > 0) sections.push(`Flags:\n${flagLines(command.flags)}`);
  if (command.joins) sections.push(`Joining:\n${flagLines(JOIN_FLAGS)}`);
  sections.push(`Always:\n${flagLines(COMMON_FLAGS)}`);
  sections.push(
    `Examples:\n${command.examples.map(([line, what]) => `  ${line}\n      ${what}`).join("\n")}`,
  );
  if (command.joins) sections.push(ENVIRONMENT_HELP);
  sections.push(exitCodesHelp(command.joins));
  return `${sections.join("\n\n")}\n`;
}

function flagLines(flags: Flags): string {
  return Object.entries(flags)
    .map(([name, { value, optional, inline, short, multiple, help }]) => {
      const shown = optional === undefined ? value : inline ? `[=${value}]` : `[${value}]`;
      const flag = `${short ? `-${short}, ` : ""}--${name}${shown ? `${inline ? "" : " "}${shown}` : ""}`;
      return `  ${flag.padEnd(26)} ${help}${multiple ? "; may be given again" : ""}`;
    })
    .join("\n");
}
