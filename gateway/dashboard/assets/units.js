/** Figures as people read them. Sizes count in 1024s and say so (MiB); rates in 1000s (MB/s). */

const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"];
const RATES = ["B/s", "kB/s", "MB/s", "GB/s", "TB/s"];

/**
 * @param {number} value
 * @param {number} base
 * @param {string[]} units
 */
function scaled(value, base, units) {
  let unit = 0;
  let rest = Math.abs(value);
  while (rest >= base * 0.9995 && unit < units.length - 1) {
    rest /= base;
    unit++;
  }
  const digits = unit === 0 || rest >= 99.95 ? 0 : rest >= 9.995 ? 1 : 2;
  return `${value < 0 ? "−" : ""}${rest.toFixed(digits)} ${units[unit]}`;
}

/** @param {number | null | undefined} bytes */
export const formatBytes = (bytes) => (bytes == null ? "–" : scaled(bytes, 1024, SIZES));

/** @param {number | null | undefined} bytesPerSecond */
export const formatRate = (bytesPerSecond) =>
  bytesPerSecond == null ? "–" : scaled(Math.round(bytesPerSecond), 1000, RATES);

/** 1,234,567. By hand, as the times are: Intl costs the first drawing many milliseconds. @param {number | null | undefined} count */
export const formatCount = (count) =>
  count == null ? "–" : String(count).replace(/\B(?=(?:\d{3})+(?!\d))/g, ",");

/** @param {number | null | undefined} ms */
export function formatMs(ms) {
  if (ms == null) return "–";
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 10) return `${ms.toFixed(2)} ms`;
  if (ms < 1000) return `${ms.toFixed(0)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return formatSpan(ms);
}

/** @param {number} n */
const pad = (n) => String(n).padStart(2, "0");

/** A long time, to the second: "2 h 03 min". @param {number} ms */
export function formatSpan(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${pad(seconds % 60)} s`;
  if (seconds < 86_400)
    return `${Math.floor(seconds / 3600)} h ${pad(Math.floor((seconds % 3600) / 60))} min`;
  return `${Math.floor(seconds / 86_400)} d ${pad(Math.floor((seconds % 86_400) / 3600))} h`;
}

/** Local time of day of an ISO string or of Unix milliseconds. @param {string | number | null | undefined} at */
export function formatTime(at) {
  if (at == null) return "–";
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "–";
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}

/** An element of a tensor, or a figure over its elements. @param {number | null | undefined} value */
export function formatValue(value) {
  if (value == null) return "–";
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e6 || size < 1e-4 ? value.toExponential(3) : String(Number(value.toPrecision(5)));
  return text.replace("-", "−").replace("e−", "e-").replace("e-", "e−").replace("e+", "e");
}

/** @param {string | null} dtype @param {readonly number[]} shape */
export const formatType = (dtype, shape) => (dtype === null ? "bytes" : `${dtype} [${shape.join(", ")}]`);

/** The first 8 digits of an id are enough to tell peers apart. @param {string} id */
export const shortId = (id) => (/^[0-9a-f]{8}-?[0-9a-f]/i.test(id) ? id.slice(0, 8) : id);
