/** Says when what is shown is old: the gateway tells its rates every second, and is silent only when something is wrong. */
import { byId, setText } from "./dom.js";
import { formatTime } from "./units.js";

const STALE_MS = 5000;
/** A connection that is silent for so long is given up and opened anew. */
const SILENT_MS = 15_000;

/** @param {import("./store.js").Store} store @param {() => void} silent */
export function watchFreshness(store, silent) {
  const banner = byId("stale", HTMLElement);
  const dot = byId("connection", HTMLElement);
  const openedAtMs = Date.now();
  let gaveUpAtMs = openedAtMs;
  setInterval(() => {
    const now = Date.now();
    const heardAtMs = store.heardAtMs || openedAtMs;
    const stale = now - heardAtMs > STALE_MS;
    document.documentElement.classList.toggle("is-stale", stale);
    const text = store.heardAtMs
      ? `Stale since ${formatTime(store.heardAtMs)}: the node does not answer. Trying again.`
      : "The node does not answer. Trying again.";
    setText(banner, stale ? text : "");
    const state = stale ? "stale" : store.connected ? "live" : "connecting";
    dot.className = `connection ${state}`;
    setText(dot, state);
    if (now - Math.max(heardAtMs, gaveUpAtMs) > SILENT_MS) {
      gaveUpAtMs = now;
      silent();
    }
  }, 500);
}
