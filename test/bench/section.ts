/** One measured subject of the report. */
export interface Section {
  /** Key in bench.json. */
  readonly name: string;
  readonly title: string;
  /** What stands under the heading. */
  readonly markdown: readonly string[];
  readonly data: unknown;
  /** Targets that were not met, a sentence each. */
  readonly missed: readonly string[];
}
