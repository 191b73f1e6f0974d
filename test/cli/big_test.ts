import assert from "node:assert/strict";
import { readFile, rm, stat, truncate } from "node:fs/promises";
import { test } from "node:test";
import { type Process, RUNTIMES } from "../support/process.ts";
import { event, Home, ready } from "./support.ts";

const BYTES = 1.5 * 1024 ** 3;
const MAX_PEAK_KIB = 600 * 1024;
const LOOK_EVERY_MS = 20;

/** Follows the highest resident memory of a process until it ends. */
function watchPeak(process: Process): { peakKiB: number; stop: () => void } {
  const watch = { peakKiB: 0, stop: () => clearInterval(timer) };
  const look = async () => {
    const status = await readFile(`/proc/${process.child.pid}/status`, "utf8").catch(() => "");
    const peak = /^VmHWM:\s+(\d+) kB/m.exec(status)?.[1];
    if (peak !== undefined) watch.peakKiB = Math.max(watch.peakKiB, Number(peak));
  };
  const timer = setInterval(look, LOOK_EVERY_MS);
  return watch;
}

for (const [index, runtime] of RUNTIMES.entries()) {
  const other = RUNTIMES[(index + 1) % RUNTIMES.length] ?? "node";

  test(`1.5 GiB from ${runtime} to ${other} pass through little memory`, async () => {
    await using home = await Home.make();
    await truncate(await home.file("model.bin", ""), BYTES);
    // One of the three writes them to the disk as well.
    const out = runtime === "node" ? ["--out", "out"] : [];
    const serve = home.node(other, ["serve", "--json", "--port", "0", "--no-discovery", ...out]);
    const { address } = await ready(serve);
    const send = home.node(runtime, ["send", "model.bin", "--json", "--to", address]);
    const peaks = [watchPeak(serve), watchPeak(send)];
    try {
      assert.equal(await send.exitWithin(60_000), 0, send.stderr);
      const { file, bytes } = await event(serve, "stream", "received");
      assert.equal(bytes, BYTES);
      if (out.length > 0) assert.equal((await stat(home.path(String(file)))).size, BYTES);
      for (const { peakKiB } of peaks) {
        assert.ok(peakKiB > 10_000, "it was measured");
        assert.ok(peakKiB < MAX_PEAK_KIB, `peak ${peakKiB} KiB`);
      }
    } finally {
      for (const { stop } of peaks) stop();
    }
    await rm(home.path("out"), { recursive: true, force: true });
  });
}
