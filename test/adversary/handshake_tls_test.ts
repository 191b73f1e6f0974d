/** The attacks of handshake_test.ts inside of TLS, which shields a node from none of them (docs/security.md). */
import { HANDSHAKE_ATTACKS } from "./handshake_attacks.ts";
import { playAllOverTls } from "./play.ts";

await playAllOverTls(HANDSHAKE_ATTACKS);
