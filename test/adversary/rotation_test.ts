/** Every replay of a rotation's records (docs/security.md), against a real node on each runtime. */
import { playAll } from "./play.ts";
import { ROTATION_ATTACKS } from "./rotation_attacks.ts";

playAll(ROTATION_ATTACKS);
