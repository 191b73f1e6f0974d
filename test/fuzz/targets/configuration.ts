/** What stands in files and on the command line: access rules, key rings, states of transfers, settings. */
import { parseAccess } from "../../../src/cli/access_file.ts";
import { check, parsePeers, SCHEMAS } from "../../../src/cli/config.ts";
import { CliError } from "../../../src/cli/exit_codes.ts";
import { parseRing } from "../../../src/cli/ring_file.ts";
import { parseEarlier } from "../../../src/cli/transfer_state.ts";
import { Access } from "../../../src/core/access/access.ts";
import { type FuzzTarget, must, type Outcome, refusal, textOf } from "../target.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const seedsOf = (values: readonly unknown[]) => values.map((value) => encoder.encode(JSON.stringify(value)));
const isUsage = (error: unknown) => error instanceof CliError;

const ID = "11223344-5566-8788-99aa-b0b1b2b3b4b5";
const FINGERPRINT = "ab".repeat(32);

export const ACCESS_FILES: FuzzTarget = {
  name: "access files",
  share: 15,
  seeds: seedsOf([
    { default: "deny", rules: [{ name: "a", match: { nodeId: ID }, maySend: ["kv/**"], mayTap: true }] },
    { rules: [{ match: { address: ["10.0.0.0/8", "2001:db8::/32"] }, mayConnect: false }] },
    {
      rules: [
        {
          match: { certificate: FINGERPRINT },
          mayReceive: false,
          quota: { bytesPerHour: 1, memoryBytes: 2 },
        },
      ],
    },
  ]),
  run(input): Outcome {
    try {
      const options = parseAccess(decoder.decode(input));
      const access = new Access(options, 16, () => 0);
      const { permissions } = access.peer(() => ({
        host: "10.1.2.3",
        nodeId: ID,
        certificate: FINGERPRINT,
      }));
      return { label: `rules ${options.rules?.length}`, detail: () => textOf([options, permissions]) };
    } catch (error) {
      return refusal(error, (one) => one instanceof TypeError || one instanceof RangeError);
    }
  },
};

const SECRET = "correct horse battery staple";

export const KEY_RINGS: FuzzTarget = {
  name: "key rings",
  share: 15,
  seeds: seedsOf([
    { version: 1, keys: [{ id: "00112233", key: SECRET, state: "current", epoch: 3 }] },
    {
      version: 1,
      keys: [
        {
          id: "00112233",
          keyBase64: "AAECAwQFBgc=",
          state: "accepted",
          epoch: 0,
          notAfter: "2026-01-02T03:04:05Z",
        },
        { id: "44556677", state: "revoked", epoch: 7 },
      ],
    },
  ]),
  run(input): Outcome {
    try {
      const keys = parseRing("keys.json", decoder.decode(input));
      return { label: `keys ${keys.length}`, detail: () => textOf(keys) };
    } catch (error) {
      must(error instanceof CliError, String(error));
      must(!error.message.includes(SECRET.slice(0, 7)), "an error quotes a key");
      must(error.message.length <= 1000, `a message of ${error.message.length} characters`);
      return refusal(error, isUsage);
    }
  },
};

export const STATE_FILES: FuzzTarget = {
  name: "states of transfers",
  share: 10,
  seeds: [
    [
      JSON.stringify({ version: 1, nodeId: ID, seed: "0f".repeat(16), fingerprint: "x" }),
      JSON.stringify({ state: "ended", tensor: 0, peer: ID }),
      JSON.stringify({ state: "there", tensor: 1, peer: ID }),
      "",
    ].join("\n"),
  ].map((text) => encoder.encode(text)),
  run(input): Outcome {
    const earlier = parseEarlier("state", decoder.decode(input));
    const label = earlier ? `lines ${Math.min(3, earlier.lines.length)}` : "none";
    return { label, detail: () => textOf(earlier) };
  },
};

const KINDS = Object.keys(SCHEMAS) as (keyof typeof SCHEMAS)[];

export const SETTINGS: FuzzTarget = {
  name: "settings",
  share: 20,
  seeds: [
    "9000",
    "1.5",
    "90d",
    "127.0.0.1:9000",
    "gpu1",
    "kv/**",
    "deny",
    "sha256",
    '{"a":[1]}',
    "npy",
    ID,
    "10.0.0.5:9000 # first\n\n[::1]:1",
  ].map((text) => encoder.encode(text)),
  run(input): Outcome {
    const text = decoder.decode(input);
    const most = 300 + 7 * text.length; // quoted, and each character escaped at worst
    const taken: string[] = [];
    const each = (name: string, read: () => unknown) => {
      try {
        read();
        taken.push(name);
      } catch (error) {
        must(error instanceof CliError, `${name}: ${error}`);
        must(error.message.length <= most, `${name}: a message of ${error.message.length} characters`);
      }
    };
    for (const kind of KINDS) each(kind, () => check(kind, `--${kind}`, text));
    each("peers file", () => parsePeers("peers", text));
    const label = taken.join(" ");
    return { label, detail: () => label };
  },
};
