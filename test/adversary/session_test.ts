/** Every attack on an open session (docs/security.md), against a real node on each runtime. */
import { playAll } from "./play.ts";
import { SESSION_ATTACKS } from "./session_attacks.ts";

playAll(SESSION_ATTACKS);
