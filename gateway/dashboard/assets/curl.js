/** curl lines for whatever is selected, to be pasted into a POSIX shell as they are. Knows no DOM. */

/** @typedef {{ readonly label: string, readonly command: string }} CurlLine */

/** @param {string} text */
export const shellQuote = (text) =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

/**
 * @param {import("../types.d.ts").Selection} selection
 * @param {string} origin  e.g. http://127.0.0.1:8080
 * @param {boolean} needsToken  the lines then take it from $ASOC_TOKEN and never show it
 * @returns {CurlLine[]}
 */
export function curlLines(selection, origin, needsToken) {
  const auth = needsToken ? ' -H "Authorization: Bearer $ASOC_TOKEN"' : "";
  /** @param {string} label @param {string} options @param {string} path @returns {CurlLine} */
  const line = (label, options, path) => ({
    label,
    command: `curl ${options}${auth} ${shellQuote(`${origin}/v1/${path}`)}`,
  });
  switch (selection.kind) {
    case "node":
      return [
        line("Is it live and ready", "-sS", "health"),
        line("Peers", "-sS", "peers"),
        line("Streams that are live", "-sS", "streams?state=live"),
        line("What happens, as it happens", "-sSN", "events"),
        line("Metrics for Prometheus", "-sS", "metrics"),
      ];
    case "peer": {
      const id = encodeURIComponent(selection.id);
      return [
        line("This peer", "-sS", `peers/${id}`),
        line("Its streams", "-sS", `streams?peer=${id}`),
        line(
          "Send it an array",
          "-sS -T tensor.npy -X POST -H 'Content-Type: application/x-npy'",
          `peers/${id}/streams?topic=demo`,
        ),
      ];
    }
    case "stream": {
      const path = `streams/${encodeURIComponent(selection.id)}`;
      return [
        line("This stream", "-sS", path),
        line("As NumPy file", "-sS -o tensor.npy", `${path}/data.npy`),
        line("As safetensors file", "-sS -o tensor.safetensors", `${path}/data.safetensors`),
        line("The raw bytes", "-sS -o tensor.bin", `${path}/data.bin`),
      ];
    }
    case "topic": {
      const path = `topics/${encodeURIComponent(selection.id)}`;
      return [
        line("The latest as NumPy file", "-sS -o tensor.npy", `${path}/latest.npy`),
        line("The latest as JSON, up to 1 MiB", "-sS", `${path}/latest.json`),
        line("Wait for the next one", "-sS -o next.npy", `${path}/next.npy?timeoutMs=30000`),
        line("Statistics of each tensor", "-sSN", `${path}/events?stats=1`),
        line(
          "Send an array to every peer",
          "-sS -T tensor.npy -X POST -H 'Content-Type: application/x-npy'",
          path,
        ),
      ];
    }
  }
}
