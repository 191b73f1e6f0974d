/** What the flags of `asoc send` say of tensors. */
import type { DigestName, SendOptions } from "../mod.ts";
import type { Args, Flags } from "./args.ts";
import { flag } from "./config.ts";
import { usageError } from "./exit_codes.ts";
import type { TensorFile } from "./tensor_files.ts";

export const TENSOR_FLAGS: Flags = {
  raw: { help: "send files as the bytes that they are, not as tensors" },
  topic: { value: "TOPIC", help: "what receivers know it by (default: the name of the tensor or file)" },
  priority: { value: "0-255", help: "larger ones overtake smaller ones (default 128)" },
  deadline: { value: "SECONDS", help: "give a file up that is not there by then" },
  digest: { value: "NAME", help: "crc32, sha256 or none: what receivers check (default crc32)" },
  metadata: { value: "JSON", help: "any value; receivers see it before the first byte" },
};

export interface TensorFlags {
  readonly raw: boolean;
  readonly topic: string | undefined;
  readonly priority: number | undefined;
  readonly deadlineMs: number | undefined;
  readonly digest: DigestName | undefined;
  readonly metadata: unknown;
}

/** Throws a usage error. */
export function tensorFlags(args: Args): TensorFlags {
  const seconds = flag("deadline", args, "deadline");
  return {
    raw: args.has("raw"),
    topic: flag("topic", args, "topic"),
    priority: flag("priority", args, "priority"),
    deadlineMs: seconds === undefined ? undefined : Math.ceil(seconds * 1000),
    digest: flag("digest", args, "digest"),
    metadata: flag("json", args, "metadata"),
  };
}

/** Throws a usage error when `file` cannot be sent so. */
export function checkTopic({ topic }: TensorFlags, file: TensorFile): void {
  if (topic === undefined || file.format !== "safetensors") return;
  throw usageError(
    `--topic: the tensors of ${file.path} have names of their own; without it they are their topics, with --raw the file is one`,
  );
}

/** The options of one tensor that is called `name`, and is begun `elapsedMs` after its file was. */
export function sendOptionsOf(flags: TensorFlags, name: string, elapsedMs: number): SendOptions {
  const { topic = name, priority, deadlineMs, digest, metadata } = flags;
  return {
    topic,
    ...(priority === undefined ? {} : { priority }),
    ...(deadlineMs === undefined ? {} : { deadlineMs: Math.max(1, Math.ceil(deadlineMs - elapsedMs)) }),
    ...(digest === undefined ? {} : { digest }),
    ...(metadata === undefined ? {} : { metadata }),
  };
}
