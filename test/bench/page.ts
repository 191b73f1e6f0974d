/** The files of a report: JSON that a later run may be merged into, the page around its figures, and the chart. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { chart } from "./chart.ts";
import { aboutText, missedText, type Report, resultsText } from "./report.ts";

/** The prose of the page, with a place in double braces for each thing that is measured. */
const PAGE = join(import.meta.dirname, "page.md");

const stem = (jsonFile: string) => jsonFile.replace(/\.json$/, "");

/** What the file has; nothing where there is no file, or one that is no report of parts. */
export function readReport(jsonFile: string): Report {
  if (!existsSync(jsonFile)) return { parts: [] };
  const { parts } = JSON.parse(readFileSync(jsonFile, "utf8")) as Partial<Report>;
  return { parts: parts ?? [] };
}

export function pageText(report: Report, jsonFile: string, template = readFileSync(PAGE, "utf8")): string {
  const name = basename(stem(jsonFile));
  const places: Readonly<Record<string, string>> = {
    about: aboutText(report),
    chart: report.parts.some(({ bulk }) => bulk)
      ? `![Throughput of each pair beside its control, and of other libraries](${name}.svg)`
      : "",
    results: resultsText(report),
    missed: missedText(report),
    data: `[${name}.json](${name}.json)`,
  };
  const text = template.replace(/\{\{(\w+)\}\}/g, (_place, key: string) => {
    const found = places[key];
    if (found === undefined) throw new Error(`${PAGE}: there is nothing for {{${key}}}`);
    return found;
  });
  return text.replace(/\n{3,}/g, "\n\n");
}

/** Writes `jsonFile` and beside it the page and the chart; returns their names. */
export function writeReport(report: Report, jsonFile: string): string[] {
  mkdirSync(dirname(jsonFile), { recursive: true });
  const pageFile = `${stem(jsonFile)}.md`;
  writeFileSync(jsonFile, `${JSON.stringify(report, undefined, 1)}\n`);
  writeFileSync(pageFile, pageText(report, jsonFile));
  const first = report.parts.find(({ bulk }) => bulk);
  if (!first?.bulk) return [jsonFile, pageFile];
  const chartFile = `${stem(jsonFile)}.svg`;
  writeFileSync(chartFile, chart(first.bulk, first.made.date));
  return [jsonFile, pageFile, chartFile];
}
