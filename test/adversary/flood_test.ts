/** Every attack by number and by patience (docs/security.md), against a real node on each runtime. */
import { FLOOD_ATTACKS } from "./flood_attacks.ts";
import { playAll } from "./play.ts";

playAll(FLOOD_ATTACKS);
