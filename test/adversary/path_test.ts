/** Every attack from the path (docs/security.md), between real nodes on each runtime. */
import { PATH_ATTACKS } from "./path_attacks.ts";
import { playAll } from "./play.ts";

playAll(PATH_ATTACKS);
