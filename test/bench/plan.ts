/** What the benchmark measures, how often, and about how long that takes. */

interface Plan {
  /** Rounds of `npm run bench`; 0: only with --full or --only. */
  readonly quick: number;
  /** Rounds of --full. */
  readonly full: number;
  /** About what --full takes, on two cores. */
  readonly fullSeconds: number;
}

/** In the order of the page. */
export const PLANS = {
  bulk: { quick: 3, full: 9, fullSeconds: 195 },
  reno: { quick: 3, full: 9, fullSeconds: 170 },
  frames: { quick: 1, full: 5, fullSeconds: 40 },
  trips: { quick: 1, full: 5, fullSeconds: 65 },
  mixed: { quick: 1, full: 5, fullSeconds: 100 },
  x1: { quick: 0, full: 4, fullSeconds: 155 },
  tls: { quick: 0, full: 3, fullSeconds: 70 },
  memory: { quick: 1, full: 1, fullSeconds: 60 },
  hostile: { quick: 1, full: 5, fullSeconds: 180 },
  floods: { quick: 0, full: 3, fullSeconds: 450 },
  scale: { quick: 1, full: 1, fullSeconds: 45 },
  cluster: { quick: 1, full: 1, fullSeconds: 70 },
  gateway: { quick: 0, full: 3, fullSeconds: 290 },
  micro: { quick: 1, full: 1, fullSeconds: 35 },
} as const satisfies Readonly<Record<string, Plan>>;

export type Part = keyof typeof PLANS;
export const PARTS = Object.keys(PLANS) as readonly Part[];
/** Other libraries are measured so often in --full. */
export const PEER_ROUNDS = 5;

export const FULL_MINUTES = Math.ceil(PARTS.reduce((sum, part) => sum + PLANS[part].fullSeconds, 0) / 60);

export interface Wish {
  readonly full: boolean;
  /** Of --only. */
  readonly only?: readonly string[] | undefined;
  /** Of --rounds. */
  readonly rounds?: number | undefined;
}

/** The parts to measure in their order, with the rounds of each. Throws RangeError for a part that there is not. */
export function planOf({ full, only, rounds }: Wish): { readonly part: Part; readonly rounds: number }[] {
  const strange = only?.find((name) => !PARTS.includes(name as Part));
  if (strange !== undefined)
    throw new RangeError(`--only: expected some of ${PARTS.join(", ")}, got ${strange}`);
  return PARTS.filter((part) => (only ? only.includes(part) : full || PLANS[part].quick > 0)).map((part) => ({
    part,
    rounds: rounds ?? (full ? PLANS[part].full : Math.max(1, PLANS[part].quick)),
  }));
}
