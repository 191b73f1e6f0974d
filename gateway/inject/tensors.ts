/** The tensors of an upload, one behind the other as the body has them: npy, safetensors, raw bytes or JSON. */
import { z } from "zod";
import {
  decodeNpyHeader,
  decodeSafetensorsHeader,
  isNeedMore,
  MAX_TOPIC_BYTES,
  type NeedMore,
  RECOGNISE_BYTES,
  recogniseFormat,
  swapBytes,
} from "../../src/mod.ts";
import { GatewayError } from "../errors.ts";
import { type DType, dtypeName, parseDType, tensorBytes } from "../formats/core.ts";
import { elementBytes } from "../formats/elements.ts";
import { fromJsonData } from "../formats/json_tensor.ts";
import type { UploadBody } from "./body.ts";

/** One tensor that a body brings. Its parts must be read before the next one. */
export interface UploadedTensor {
  /** In a safetensors body. */
  readonly name: string | null;
  readonly topic: string;
  /** Undefined: bytes without a type. */
  readonly dtype: string | undefined;
  readonly shape: readonly number[] | undefined;
  readonly totalBytes: number | undefined;
  readonly parts: AsyncIterable<Uint8Array>;
}

export interface BodyDescription {
  readonly contentType: string | undefined;
  /** Of the headers Asoc-Dtype and Asoc-Shape. */
  readonly dtype: string | undefined;
  readonly shape: string | undefined;
  readonly topic: string;
}

export interface TensorLimits {
  readonly maxJsonBytes: number;
  readonly maxTensorsPerBody: number;
}

type BodyFormat = "npy" | "safetensors" | "json" | "raw";

const FORMAT_OF_TYPE: Readonly<Record<string, BodyFormat>> = {
  "application/x-npy": "npy",
  "application/vnd.safetensors": "safetensors",
  "application/x-safetensors": "safetensors",
  "application/json": "json",
};
/** Types that say nothing of what is inside: curl and fetch send some by themselves. */
const ANY_BYTES = new Set([
  "",
  "application/octet-stream",
  "application/x-www-form-urlencoded",
  "binary/octet-stream",
  "text/plain",
]);

/** Throws GatewayError and FormatError, all 4xx, before anything is sent for the tensor in question. */
export async function* uploadedTensors(
  body: UploadBody,
  description: BodyDescription,
  limits: TensorLimits,
): AsyncGenerator<UploadedTensor, void, undefined> {
  const format = await formatOf(body, description);
  if (format === "npy") yield await npyTensor(body, description.topic);
  else if (format === "safetensors") yield* safetensorsTensors(body, description.topic, limits);
  else if (format === "json") yield await jsonTensor(body, description.topic, limits);
  else yield rawTensor(body, description);
}

async function formatOf(
  body: UploadBody,
  { contentType, dtype, shape }: BodyDescription,
): Promise<BodyFormat> {
  const type = (contentType ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
  const named = FORMAT_OF_TYPE[type];
  if (named) return named;
  if (!ANY_BYTES.has(type)) {
    throw new GatewayError(
      415,
      "GATEWAY_UNSUPPORTED_BODY",
      "Cannot send that type: expected application/x-npy, application/vnd.safetensors, application/json or application/octet-stream",
    );
  }
  if (dtype !== undefined || shape !== undefined) return "raw";
  const head = await body.peek(RECOGNISE_BYTES);
  return recogniseFormat(head, body.totalBytes ?? Number.MAX_SAFE_INTEGER) ?? "raw";
}

/** Reads a header with a decoder that says how much more it wants. */
async function readHeader<Header extends object>(
  body: UploadBody,
  decode: (head: Uint8Array) => Header | NeedMore,
): Promise<Header> {
  let wanted = 0;
  for (;;) {
    const head = await body.peek(wanted);
    const result = decode(head);
    if (!isNeedMore(result)) return result;
    if (head.length < wanted) await body.take(wanted); // throws: there is no more
    wanted = head.length + result.needBytes;
  }
}

async function npyTensor(body: UploadBody, topic: string): Promise<UploadedTensor> {
  const { dtype, shape, fortranOrder, byteOrder, dataOffset, dataBytes } = await readHeader(
    body,
    decodeNpyHeader,
  );
  if (fortranOrder && !shape.includes(0) && shape.filter((size) => size > 1).length > 1) {
    throw new GatewayError(
      415,
      "GATEWAY_UNSUPPORTED_BODY",
      "Cannot send npy body: its elements are columns first; numpy.ascontiguousarray() puts them in order",
    );
  }
  if (byteOrder === "big") swapBytes(dtype, new Uint8Array(0)); // throws for elements whose parts nobody knows
  checkLength(body, dataOffset + dataBytes);
  await body.take(dataOffset);
  const parts = body.parts(dataBytes, true);
  return {
    name: null,
    topic,
    dtype: dtypeName(dtype),
    shape,
    totalBytes: dataBytes,
    parts: byteOrder === "big" ? swapped(parts, dtype) : parts,
  };
}

async function* safetensorsTensors(
  body: UploadBody,
  topic: string,
  { maxTensorsPerBody }: TensorLimits,
): AsyncGenerator<UploadedTensor, void, undefined> {
  const { tensors, dataOffset, dataBytes } = await readHeader(body, (head) =>
    decodeSafetensorsHeader(head, body.totalBytes),
  );
  if (tensors.length === 0)
    throw new GatewayError(400, "GATEWAY_BAD_BODY", "Cannot send safetensors body: it has no tensor");
  if (tensors.length > maxTensorsPerBody) {
    throw new GatewayError(
      413,
      "GATEWAY_BODY_TOO_LARGE",
      `Cannot send safetensors body: ${tensors.length} tensors, at most ${maxTensorsPerBody} are sent at once`,
    );
  }
  const topics = tensors.map(({ name }) => (topic === "" ? name : `${topic}/${name}`));
  for (const one of topics) checkTopic(one);
  checkLength(body, dataOffset + dataBytes);
  await body.take(dataOffset);
  for (const [index, { name, dtype, shape, start, end }] of tensors.entries()) {
    yield {
      name,
      topic: topics[index] as string, // one for each tensor
      dtype: dtypeName(dtype),
      shape,
      totalBytes: end - start,
      parts: body.parts(end - start, index === tensors.length - 1),
    };
  }
}

const jsonSchema = z.object({
  dtype: z.string().max(64).nullable().optional(),
  shape: z.array(z.int().min(0)).max(64).optional(),
  data: z.unknown(),
});

async function jsonTensor(
  body: UploadBody,
  topic: string,
  { maxJsonBytes }: TensorLimits,
): Promise<UploadedTensor> {
  const text = await body.takeAll(maxJsonBytes);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(text));
  } catch {
    throw new GatewayError(400, "GATEWAY_BAD_BODY", "Cannot read JSON body: it is no JSON");
  }
  const result = jsonSchema.safeParse(value);
  if (!result.success || !("data" in result.data)) {
    const issue = result.error?.issues[0];
    const where = issue?.path.join(".") ?? "data";
    throw new GatewayError(
      400,
      "GATEWAY_BAD_BODY",
      `Cannot read JSON body: expected { dtype, shape, data }: ${where}`,
    );
  }
  const { dtype, shape, data } = result.data;
  const name = dtype ?? "uint8";
  const whole = shape ?? (Array.isArray(data) ? [data.length] : []);
  const bytes = fromJsonData(parseDType(name), name, whole, data);
  const isTyped = dtype !== null && dtype !== undefined;
  return {
    name: null,
    topic,
    dtype: isTyped ? name : undefined,
    shape: isTyped ? whole : undefined,
    totalBytes: bytes.length,
    parts: one(bytes),
  };
}

function rawTensor(body: UploadBody, { dtype, shape, topic }: BodyDescription): UploadedTensor {
  if (dtype === undefined) {
    if (shape !== undefined)
      throw new GatewayError(400, "GATEWAY_BAD_BODY", "Asoc-Shape: expected Asoc-Dtype with it");
    const { totalBytes } = body;
    return { name: null, topic, dtype, shape: undefined, totalBytes, parts: body.parts(totalBytes, true) };
  }
  const type = parseDType(dtype);
  const dims = shape === undefined ? flatShape(body, type) : parseShape(shape);
  const totalBytes = tensorBytes(type, dims);
  checkLength(body, totalBytes);
  return { name: null, topic, dtype, shape: dims, totalBytes, parts: body.parts(totalBytes, true) };
}

function flatShape(body: UploadBody, dtype: DType): readonly number[] {
  const unit = elementBytes(dtype);
  const { totalBytes } = body;
  if (unit === undefined || totalBytes === undefined || totalBytes % unit !== 0)
    throw new GatewayError(400, "GATEWAY_BAD_BODY", "Asoc-Shape: expected it with this dtype and length");
  return [totalBytes / unit];
}

function parseShape(text: string): readonly number[] {
  const trimmed = text
    .trim()
    .replace(/^[[(]/, "")
    .replace(/,?\s*[\])]$/, "");
  if (trimmed === "") return [];
  const items = trimmed.split(",");
  if (items.length > 64 || !items.every((item) => /^\s*\d{1,16}\s*$/.test(item)))
    throw new GatewayError(400, "GATEWAY_BAD_BODY", "Asoc-Shape: expected whole numbers such as 3,224,224");
  return items.map(Number);
}

/** A topic as the wire can carry it. */
export function checkTopic(topic: string): void {
  if (topic.isWellFormed() && Buffer.byteLength(topic) <= MAX_TOPIC_BYTES) return;
  const shown = JSON.stringify(topic.slice(0, 40));
  throw new GatewayError(
    400,
    "GATEWAY_BAD_REQUEST",
    `Topic ${shown}: expected at most ${MAX_TOPIC_BYTES} bytes of text`,
  );
}

/** Where the length of the body is known, a wrong one is refused before anything is sent. */
function checkLength(body: UploadBody, expected: number): void {
  const { totalBytes } = body;
  if (totalBytes === undefined || totalBytes === expected) return;
  const code = totalBytes < expected ? "GATEWAY_BODY_TRUNCATED" : "GATEWAY_BODY_TOO_LONG";
  throw new GatewayError(400, code, `The body has ${totalBytes} bytes, its header says ${expected}`);
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  if (bytes.length > 0) yield bytes;
}

/** The same with the bytes of each number turned round: in copies, and in whole elements. */
async function* swapped(
  parts: AsyncIterable<Uint8Array>,
  dtype: DType,
): AsyncGenerator<Uint8Array, void, undefined> {
  const unit = elementBytes(dtype) ?? 1;
  let rest = new Uint8Array(0);
  for await (const part of parts) {
    const joined = new Uint8Array(rest.length + part.length);
    joined.set(rest);
    joined.set(part, rest.length);
    const whole = joined.length - (joined.length % unit);
    const turned = joined.subarray(0, whole);
    swapBytes(dtype, turned);
    rest = joined.slice(whole);
    if (whole > 0) yield turned;
  }
}
