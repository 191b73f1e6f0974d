/** The attacks of rotation_test.ts inside of TLS, which shields a node from none of them (docs/security.md). */
import { playAllOverTls } from "./play.ts";
import { ROTATION_ATTACKS } from "./rotation_attacks.ts";

await playAllOverTls(ROTATION_ATTACKS);
