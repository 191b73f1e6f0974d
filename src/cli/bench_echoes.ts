/** The far end's word that it has read what `asoc bench` sent. */
import type { AsocNode, DigestName, Peer } from "../mod.ts";
import { echoedNumber, echoRequest } from "./echo.ts";
import { CliError, ExitCode } from "./exit_codes.ts";

const ECHO_TIMEOUT_MS = 10_000;

/** The replies of the peer, by number. */
export class Echoes {
  readonly #node: AsocNode;
  readonly #waiting = new Map<number, () => void>();
  #next = 1;

  constructor(node: AsocNode) {
    this.#node = node;
    void this.#read();
  }

  async #read(): Promise<void> {
    for await (const stream of this.#node.incoming) {
      try {
        const tensor = await stream.tensor();
        this.#waiting.get(echoedNumber(tensor.bytes) ?? -1)?.();
        tensor.release();
      } catch {
        // a reply that does not come is reported by whoever waits for it
      }
    }
  }

  /** Resolves when the peer has read all that was sent before, and this; rejects with the reason of `stop`. */
  async ask(peer: Peer, byteCount: number, digest: DigestName, stop: AbortSignal): Promise<void> {
    stop.throwIfAborted();
    const number = this.#next++;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => reject(noAnswer(peer)), ECHO_TIMEOUT_MS);
    const abort = () => reject(stop.reason);
    stop.addEventListener("abort", abort, { once: true });
    this.#waiting.set(number, resolve);
    // Where sending fails there will be no reply, and where it stands still the wait for it ends it.
    this.#node.send(peer, echoRequest(byteCount, number), { digest }).catch(reject);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      stop.removeEventListener("abort", abort);
      this.#waiting.delete(number);
    }
  }
}

function noAnswer(peer: Peer): CliError {
  return new CliError(
    ExitCode.FAILURE,
    "ASOC_CANCELLED",
    `Peer ${peer.id} did not answer within ${ECHO_TIMEOUT_MS / 1000} s: \`asoc serve\` answers, other programs may not`,
  );
}
