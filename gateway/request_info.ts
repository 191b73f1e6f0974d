/** What an HTTP server tells the app of a request. */
import type { PartReader } from "./inject/body.ts";

/** What the server at hand says of a request. */
export interface RequestInfo {
  /** Who asks: an IP address. */
  readonly address?: string | undefined;
  /** Aborts when the client has left. */
  readonly left?: AbortSignal | undefined;
  /**
   * While it is answered, its connection may be without progress for so long; 0: for ever; Infinity: as long
   * as the server can count. Default: as between requests.
   */
  readonly allowQuiet?: ((quietMs: number) => void) | undefined;
  /** Ends the connection, whatever is under way on it. */
  readonly cut?: (() => void) | undefined;
  /** Reads the body without a web stream, where the server has something faster. Called at most once. */
  readonly readBody?: (() => PartReader) | undefined;
}
