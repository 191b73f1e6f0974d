/** The attacks of session_test.ts inside of TLS, which shields a node from none of them (docs/security.md). */

import { playAllOverTls } from "./play.ts";
import { SESSION_ATTACKS } from "./session_attacks.ts";

await playAllOverTls(SESSION_ATTACKS);
