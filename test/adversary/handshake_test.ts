/** Every attack on the handshake (docs/security.md), against a real node on each runtime. */
import { HANDSHAKE_ATTACKS } from "./handshake_attacks.ts";
import { playAll } from "./play.ts";

playAll(HANDSHAKE_ATTACKS);
