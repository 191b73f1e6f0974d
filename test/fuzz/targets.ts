/** Every parser that takes outside bytes, cheap ones in volume. */
import type { FuzzTarget } from "./target.ts";
import { CERTIFICATES } from "./targets/certificates.ts";
import { ACCESS_FILES, KEY_RINGS, SETTINGS, STATE_FILES } from "./targets/configuration.ts";
import { NPY, SAFETENSORS } from "./targets/formats.ts";
import { FRAMES } from "./targets/frames.ts";
import { ACCEPT, BEACONS, HELLO } from "./targets/handshake.ts";
import { HTTP } from "./targets/http.ts";
import { KEYS, RECORDS } from "./targets/records.ts";
import { SESSIONS } from "./targets/session.ts";
import { GLOBS, TEXTS } from "./targets/text.ts";

export const TARGETS: readonly FuzzTarget[] = [
  FRAMES,
  HELLO,
  ACCEPT,
  BEACONS,
  RECORDS,
  KEYS,
  SESSIONS,
  NPY,
  SAFETENSORS,
  GLOBS,
  TEXTS,
  ACCESS_FILES,
  KEY_RINGS,
  STATE_FILES,
  SETTINGS,
  HTTP,
  CERTIFICATES,
];
