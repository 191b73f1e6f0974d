/** The attacks of flood_test.ts inside of TLS, which shields a node from none of them (docs/security.md). */
import { FLOOD_ATTACKS } from "./flood_attacks.ts";
import { playAllOverTls } from "./play.ts";

await playAllOverTls(FLOOD_ATTACKS);
