/**
 * `npm run dashboard:assets`: the files of uPlot (MIT, by Leon Sorokin) that the dashboard serves, taken from the npm
 * package whose exact version package.json names. They are committed: the page has no build step, and works the same
 * from a checkout and from the installed package.
 */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..");
const PACKAGE = join(ROOT, "node_modules", "uplot");
const VENDOR = join(ROOT, "gateway", "dashboard", "assets", "vendor");

mkdirSync(VENDOR, { recursive: true });
copyFileSync(join(PACKAGE, "dist", "uPlot.esm.js"), join(VENDOR, "uplot.js"));
copyFileSync(join(PACKAGE, "dist", "uPlot.min.css"), join(VENDOR, "uplot.css"));
const { version } = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8")) as { version: string };
const license = readFileSync(join(PACKAGE, "LICENSE"), "utf8");
writeFileSync(
  join(VENDOR, "LICENSE.txt"),
  `uPlot ${version}, https://github.com/leeoniya/uPlot\n\n${license}`,
);
process.stdout.write(`uPlot ${version} copied to gateway/dashboard/assets/vendor\n`);
