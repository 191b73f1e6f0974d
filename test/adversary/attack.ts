/**
 * One attack of docs/security.md. Its title is the one that the table there names; what becomes of it is asserted in `play`,
 * also where the outcome is that it works.
 */
import { appendFileSync } from "node:fs";

export interface Attack<Scene> {
  readonly title: string;
  /** "works": not protected, and the test shows it. */
  readonly outcome: "refused" | "bounded" | "detected" | "works";
  /** Why it is not played over TLS, too. */
  readonly notOverTls?: "v0.1 is refused there" | "the attacker is dialled" | "beacons are outside of it";
  /** It is about TLS itself. */
  readonly onlyOverTls?: boolean;
  /** Resolves with how the victim has named it: an error code, a reason, or a counter. */
  readonly play: (scene: Scene) => Promise<string>;
}

/** A line for `npm run test:adversary`, which names the file. */
export function note(
  runtime: string,
  attack: { title: string; outcome: string },
  named: string,
  overTls = false,
): void {
  const path = process.env.ASOC_ADVERSARY_LOG;
  const { outcome } = attack;
  const title = overTls ? `${attack.title}, over TLS` : attack.title;
  if (path) appendFileSync(path, `${JSON.stringify({ runtime, title, outcome, named })}\n`);
}
