/** The throughput of a run as an SVG chart: bars for every pair beside its control, and for the peers. */
import type { Bulk } from "./bulk.ts";
import { NAMES } from "./report.ts";

const LABEL_WIDTH = 170;
const BAR_WIDTH = 520;
const ROW_HEIGHT = 17;
const GAP = 9;
const COLOURS = { asoc: "#1f6f8b", bare: "#b8c4c8", peer: "#c98b3a" } as const;

interface Bar {
  readonly label: string;
  readonly bytesPerSecond: number;
  readonly colour: string;
  /** Begins a group. */
  readonly first: boolean;
}

/** A standalone SVG document; readable on light and dark pages, as it brings its own background. */
export function chart(report: Bulk, date: string): string {
  const bars: Bar[] = [];
  for (const { from, to, asoc, bare } of report.matrix) {
    const label = `${NAMES[from]} → ${NAMES[to]}`;
    bars.push({ label, bytesPerSecond: asoc.median, colour: COLOURS.asoc, first: true });
    bars.push({ label: "", bytesPerSecond: bare.median, colour: COLOURS.bare, first: false });
  }
  if (report.c) {
    bars.push({ label: "C → C", bytesPerSecond: report.c.median, colour: COLOURS.bare, first: true });
  }
  for (const { name, throughput } of report.peers) {
    bars.push({ label: name, bytesPerSecond: throughput.median, colour: COLOURS.peer, first: true });
  }
  const most = Math.max(1e9, ...bars.map((bar) => bar.bytesPerSecond));
  const parts: string[] = [];
  let y = 64;
  for (const { label, bytesPerSecond, colour, first } of bars) {
    if (first) y += GAP;
    const width = (bytesPerSecond / most) * BAR_WIDTH;
    const middle = y + ROW_HEIGHT - 5;
    parts.push(`<text x="${LABEL_WIDTH - 8}" y="${middle}" text-anchor="end">${escapeXml(label)}</text>`);
    parts.push(
      `<rect x="${LABEL_WIDTH}" y="${y}" width="${width.toFixed(1)}" height="${ROW_HEIGHT - 3}" fill="${colour}"/>`,
    );
    parts.push(
      `<text x="${LABEL_WIDTH + width + 6}" y="${middle}">${(bytesPerSecond / 1e9).toFixed(2)}</text>`,
    );
    y += ROW_HEIGHT;
  }
  const width = LABEL_WIDTH + BAR_WIDTH + 60;
  const legend = [
    ["ASoc node to node", COLOURS.asoc],
    ["bare socket", COLOURS.bare],
    ["other libraries", COLOURS.peer],
  ].map(
    ([text, colour], index) =>
      `<rect x="${LABEL_WIDTH + index * 170}" y="38" width="12" height="12" fill="${colour}"/>` +
      `<text x="${LABEL_WIDTH + index * 170 + 18}" y="48">${text}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y + 20}" viewBox="0 0 ${width} ${y + 20}" font-family="sans-serif" font-size="12" fill="#222">
<title>Throughput of each pair of runtimes beside its control, and of other libraries</title>
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="${LABEL_WIDTH}" y="24" font-size="15">64 MiB tensors, GB/s, loopback (${escapeXml(report.congestionControl)}), ${date.slice(0, 10)}</text>
${[...legend, ...parts].join("\n")}
</svg>
`;
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
