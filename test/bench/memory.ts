/** Memory of a node that receives: its peak over the idle node, beyond the tensors in use; and while nobody takes anything. */
import { readFileSync } from "node:fs";
import { GiB, MiB } from "../../src/core/limits.ts";
import { Process } from "../support/process.ts";
import { Role, RUNTIMES, type RuntimeName } from "./rig.ts";
import type { Section } from "./section.ts";

const NAMES = { node: "Node.js", bun: "Bun", deno: "Deno" } as const;
const NODE = "test/bench/roles/cluster_node.ts";
/** What a process may need beyond the tensors in use. */
const MOST_BEYOND_BYTES = 64 * MiB;
/** Tensor memory may not go beyond the budget at all; the process around it grows by what its runtime needs to run. */
const PROCESS_TOLERANCE_BYTES = 64 * MiB;
const TENSOR_BYTES = 64 * MiB;

interface Sizes {
  readonly count: number;
  readonly singleBytes: number;
  readonly budgetBytes: number;
}

const FULL: Sizes = { count: 64, singleBytes: 2 * GiB, budgetBytes: 256 * MiB };
const QUICK: Sizes = { count: 8, singleBytes: 256 * MiB, budgetBytes: 128 * MiB };
/** Offered to a node that takes nothing, in terms of its budget. */
const OFFERED_BUDGETS = 4;

/** One tensor kept in use: how it is taken, and how much of it is in the receiver's memory then. */
interface Task {
  readonly what: string;
  readonly way: "tensor" | "into" | "chunks";
  readonly tensorBytes: number;
  readonly repeat: number;
  readonly count: number;
  readonly inUseBytes: number;
  /** The length is not announced: memory has to grow, and there is no target. */
  readonly unannounced?: boolean;
}

export interface Row {
  readonly runtime: RuntimeName;
  readonly what: string;
  readonly idleBytes: number;
  readonly peakBytes: number;
  readonly inUseBytes: number;
  readonly unannounced: boolean;
  readonly beyondBytes: number;
  readonly peakPoolBytes: number;
  /** Bytes that moved because a buffer grew. */
  readonly grownBytes: number;
}

export interface Paused {
  readonly runtime: RuntimeName;
  readonly budgetBytes: number;
  readonly usedBytes: number;
  /** Peak over the idle node. */
  readonly grownBytes: number;
  /** What the sender had handed to its kernel when it stood still. */
  readonly sentBytes: number;
}

/** Memory of a process: now, and the most there ever was. Undefined where there is no /proc. */
export function memoryOf(pid: number): { readonly rssBytes: number; readonly peakBytes: number } | undefined {
  let status: string;
  try {
    status = readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return undefined;
  }
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) * 1024;
  return { rssBytes: field("VmRSS"), peakBytes: field("VmHWM") };
}

/** A node of its own process: its role, and its process id, which a wrapper between us may hide. */
export async function startNode(runtime: RuntimeName, options: object = {}): Promise<BenchNode> {
  const process = Process.script(runtime, NODE, [JSON.stringify(options)]);
  const role = await Role.start(process).catch(async (error: unknown) => {
    await process[Symbol.asyncDispose]();
    throw error;
  });
  const ready = role.process.events.find(({ event }) => event === "ready");
  return { role, pid: Number(ready?.pid), id: String(ready?.id), port: role.port, runtime };
}

export interface BenchNode {
  readonly role: Role;
  readonly pid: number;
  readonly id: string;
  readonly port: number;
  readonly runtime: RuntimeName;
}

function mustHave(memory: ReturnType<typeof memoryOf>) {
  if (!memory) throw new Error("the process is gone, or /proc is");
  return memory;
}

/** A fresh receiver each time: the peak of a process never falls. */
async function receive(sender: Role, runtime: RuntimeName, task: Task): Promise<Row> {
  const { role, pid, port } = await startNode(runtime);
  await using _ = role.process;
  const { rssBytes: idleBytes } = mustHave(memoryOf(pid));
  const { what, way, tensorBytes, repeat, count, inUseBytes, unannounced = false } = task;
  await role.ask({ cmd: "take", way, tensorBytes: tensorBytes * repeat, count }, "armed");
  const from = role.process.events.length;
  await sender.ask({ cmd: "join", port }, "joined");
  const [done] = await Promise.all([
    role.process.waitFor(({ event }) => event === "done", 120_000, from),
    sender.ask({ cmd: "send", tensorBytes, repeat, unannounced, count, frameBytes: MiB }, "sent"),
  ]);
  const { peakBytes } = mustHave(memoryOf(pid));
  const { grownBytes } = await role.ask({ cmd: "stats" }, "stats");
  await sender.ask({ cmd: "leave" }, "left");
  return {
    runtime,
    what,
    idleBytes,
    peakBytes,
    inUseBytes,
    unannounced,
    beyondBytes: peakBytes - idleBytes - inUseBytes,
    peakPoolBytes: Number(done.peakPoolBytes),
    grownBytes: Number(grownBytes),
  };
}

/** A node that takes no stream, with a small budget, while more than that is sent to it. */
async function paused(sender: Role, runtime: RuntimeName, budgetBytes: number): Promise<Paused> {
  const { role, pid, port } = await startNode(runtime, { limits: { memoryBudgetBytes: budgetBytes } });
  await using _ = role.process;
  const { rssBytes: idleBytes } = mustHave(memoryOf(pid));
  await sender.ask({ cmd: "join", port }, "joined");
  const count = (OFFERED_BUDGETS * budgetBytes) / TENSOR_BYTES;
  const { sentBytes } = await sender.ask({ cmd: "offer", tensorBytes: TENSOR_BYTES, count }, "still");
  const { memoryUsedBytes } = await role.ask({ cmd: "stats" }, "stats");
  const { peakBytes } = mustHave(memoryOf(pid));
  await sender.ask({ cmd: "leave" }, "left");
  return {
    runtime,
    budgetBytes,
    usedBytes: Number(memoryUsedBytes),
    grownBytes: peakBytes - idleBytes,
    sentBytes: Number(sentBytes),
  };
}

const mib = (bytes: number) => (bytes / MiB).toFixed(0);

/** Each runtime as the receiver, Node.js as the sender. */
export async function memory(full: boolean, say: (text: string) => void): Promise<Section> {
  const head = { name: "memory", title: "Memory of a receiver" };
  if (!memoryOf(process.pid)) {
    return { ...head, markdown: ["Not measured: it needs /proc."], data: undefined, missed: [] };
  }
  const { count, singleBytes, budgetBytes } = full ? FULL : QUICK;
  const repeat = singleBytes / TENSOR_BYTES;
  const single = { tensorBytes: TENSOR_BYTES, repeat, count: 1 };
  const one = `one of ${mib(singleBytes)} MiB`;
  const tasks: Task[] = [
    {
      what: `${count} of 64 MiB, \`tensor()\` and release`,
      way: "tensor",
      tensorBytes: TENSOR_BYTES,
      repeat: 1,
      count,
      inUseBytes: TENSOR_BYTES,
    },
    { ...single, what: `${one}, \`tensor()\``, way: "tensor", inUseBytes: singleBytes },
    {
      ...single,
      // Half of it, since old and new memory are held together while it grows.
      repeat: repeat / 2,
      what: `one of ${mib(singleBytes / 2)} MiB of unknown length, \`tensor()\``,
      way: "tensor",
      inUseBytes: singleBytes / 2,
      unannounced: true,
    },
    { ...single, what: `${one}, \`tensor({ into })\``, way: "into", inUseBytes: singleBytes },
    { ...single, what: `${one}, \`chunks()\``, way: "chunks", inUseBytes: 0 },
  ];
  const measureOne = async (runtime: RuntimeName) => {
    const { role: sender } = await startNode("node");
    await using _ = sender.process;
    const rows: Row[] = [];
    for (const task of tasks) {
      say(`memory: ${NAMES[runtime]}, ${task.what}`);
      rows.push(await receive(sender, runtime, task));
    }
    say(`memory: ${NAMES[runtime]}, nobody takes`);
    return { rows, stopped: await paused(sender, runtime, budgetBytes) };
  };
  const found: Awaited<ReturnType<typeof measureOne>>[] = [];
  if (full) for (const runtime of RUNTIMES) found.push(await measureOne(runtime));
  // No times are taken here, so the quick version may do all at once.
  else found.push(...(await Promise.all(RUNTIMES.map(measureOne))));
  const rows = found.flatMap((one) => one.rows);
  const stopped = found.map((one) => one.stopped);
  return {
    ...head,
    markdown: markdown(rows, stopped),
    data: { full, rows, paused: stopped },
    missed: [...missedBy(rows), ...missedByPaused(stopped)],
  };
}

function markdown(rows: readonly Row[], stopped: readonly Paused[]): string[] {
  return [
    "MiB; the sender is Node.js, the receiver a fresh process each time. Peak: the most resident memory of the process (VmHWM).",
    `Beyond: the peak less the idle node right after \`join\` and less the tensor in use; at most ${mib(MOST_BEYOND_BYTES)} is the target. Where the sender does not know the length, as with a v0.1 peer, \`tensor()\` grows its memory as it goes: no target.`,
    "",
    "| receiver | what comes | idle | peak | in use | beyond |",
    "|---|---|---:|---:|---:|---:|",
    ...rows.map(
      ({ runtime, what, idleBytes, peakBytes, inUseBytes, beyondBytes }) =>
        `| ${NAMES[runtime]} | ${what} | ${mib(idleBytes)} | ${mib(peakBytes)} | ${mib(inUseBytes)} | ${mib(beyondBytes)} |`,
    ),
    "",
    `Nobody takes what comes, while ${OFFERED_BUDGETS} times the memory budget is offered in tensors of 64 MiB; measured when the sender has stood still for 1 s. Tensor memory may not exceed the budget by a byte; the process around it may grow by ${mib(PROCESS_TOLERANCE_BYTES)} MiB more, for what its runtime needs to run:`,
    "",
    "| receiver | memoryBudgetBytes | tensor memory used | growth of the process | sent when it stood still |",
    "|---|---:|---:|---:|---:|",
    ...stopped.map(
      ({ runtime, budgetBytes, usedBytes, grownBytes, sentBytes }) =>
        `| ${NAMES[runtime]} | ${mib(budgetBytes)} | ${mib(usedBytes)} | ${mib(grownBytes)} | ${mib(sentBytes)} |`,
    ),
  ];
}

export function missedBy(rows: readonly Row[]): string[] {
  return rows
    .filter(({ beyondBytes, unannounced }) => !unannounced && beyondBytes > MOST_BEYOND_BYTES)
    .map(
      ({ runtime, what, beyondBytes }) =>
        `Memory of ${NAMES[runtime]} receiving ${what}: ${mib(beyondBytes)} MiB beyond the tensor in use, the target is at most ${mib(MOST_BEYOND_BYTES)}.`,
    );
}

export function missedByPaused(stopped: readonly Paused[]): string[] {
  return stopped
    .filter(
      ({ usedBytes, budgetBytes, grownBytes }) =>
        usedBytes > budgetBytes || grownBytes > budgetBytes + PROCESS_TOLERANCE_BYTES,
    )
    .map(
      ({ runtime, budgetBytes, usedBytes, grownBytes }) =>
        `Memory of ${NAMES[runtime]} when nobody takes what comes: ${mib(usedBytes)} MiB of tensors, the process grew by ${mib(grownBytes)} MiB; the budget is ${mib(budgetBytes)}, and the process may grow by ${mib(PROCESS_TOLERANCE_BYTES)} MiB more.`,
    );
}
