/** The part of `asoc doctor` that asks the kernel: what Linux says about TCP and open files. Elsewhere nothing is known. */
import { readFile } from "node:fs/promises";
import { type Finding, ok, warning } from "./finding.ts";

const GOOD_SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;
const GOOD_OPEN_FILES = 1024;

/** `read`: the text of a file below /proc; undefined: there is none. */
export async function kernelFindings(
  read: (path: string) => Promise<string | undefined> = kernelText,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const congestion = await read("/proc/sys/net/ipv4/tcp_congestion_control");
  if (congestion) findings.push(congestionFinding(congestion));
  for (const [name, path] of [
    ["receive buffer", "/proc/sys/net/ipv4/tcp_rmem"],
    ["send buffer", "/proc/sys/net/ipv4/tcp_wmem"],
  ] as const) {
    const finding = bufferFinding(name, path, await read(path));
    if (finding) findings.push(finding);
  }
  const limits = await read("/proc/self/limits");
  const files = limits?.match(/^Max open files\s+(\d+|unlimited)/m)?.[1];
  if (files !== undefined) findings.push(filesFinding(files));
  return findings;
}

function congestionFinding(name: string): Finding {
  if (name !== "bbr") return ok("congestion control", name);
  return warning(
    "congestion control",
    "bbr, which holds loopback and very short paths at about half of what they carry",
    "for tests on one machine: sysctl -w net.ipv4.tcp_congestion_control=cubic (on real networks bbr is fine)",
  );
}

/** Of the three sizes the last one bounds what the kernel makes of a connection; the first two stay. */
function bufferFinding(name: string, path: string, sizes: string | undefined): Finding | undefined {
  const [least = 0, first = 0, largest = Number.NaN] = (sizes ?? "").split(/\s+/).map(Number);
  if (Number.isNaN(largest)) return undefined;
  const found = `up to ${largest} bytes`;
  if (largest >= GOOD_SOCKET_BUFFER_BYTES) return ok(name, found);
  const setting = path.replace("/proc/sys/", "").replaceAll("/", ".");
  return warning(
    name,
    found,
    `long fast paths want more: sysctl -w ${setting}="${least} ${first} ${GOOD_SOCKET_BUFFER_BYTES}"`,
  );
}

function filesFinding(files: string): Finding {
  return Number(files) < GOOD_OPEN_FILES
    ? warning("open files", files, `each connection takes one: ulimit -n ${GOOD_OPEN_FILES}`)
    : ok("open files", files);
}

function kernelText(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").then(
    (text) => text.trim(),
    () => undefined,
  );
}
