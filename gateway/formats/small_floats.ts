/** Floats of 8 and 16 bits as numbers, and back for the two of 16 bits. */

/** How a small float is laid out. "ieee": infinities and NaNs; "fn": one NaN, no infinity; "fnuz": the NaN is -0. */
interface Layout {
  readonly exponentBits: number;
  readonly mantissaBits: number;
  readonly bias: number;
  readonly kind: "ieee" | "fn" | "fnuz";
}

const LAYOUTS: Readonly<Record<string, Layout>> = {
  float16: { exponentBits: 5, mantissaBits: 10, bias: 15, kind: "ieee" },
  float8_e3m4: { exponentBits: 3, mantissaBits: 4, bias: 3, kind: "ieee" },
  float8_e4m3: { exponentBits: 4, mantissaBits: 3, bias: 7, kind: "ieee" },
  float8_e4m3b11fnuz: { exponentBits: 4, mantissaBits: 3, bias: 11, kind: "fnuz" },
  float8_e4m3fn: { exponentBits: 4, mantissaBits: 3, bias: 7, kind: "fn" },
  float8_e4m3fnuz: { exponentBits: 4, mantissaBits: 3, bias: 8, kind: "fnuz" },
  float8_e5m2: { exponentBits: 5, mantissaBits: 2, bias: 15, kind: "ieee" },
  float8_e5m2fnuz: { exponentBits: 5, mantissaBits: 2, bias: 16, kind: "fnuz" },
};

const tables = new Map<string, Float32Array>();

/** The values of all bit patterns of a float of 8 bits, or of float16; undefined for any other name. */
export function smallFloats(name: string): Float32Array | undefined {
  const made = tables.get(name);
  if (made) return made;
  const layout = LAYOUTS[name];
  const table = name === "float8_e8m0fnu" ? powersOfTwo() : layout && tableOf(layout);
  if (table) tables.set(name, table);
  return table;
}

/** float8_e8m0fnu: an exponent alone. */
function powersOfTwo(): Float32Array {
  return Float32Array.from({ length: 256 }, (_, bits) => (bits === 255 ? Number.NaN : 2 ** (bits - 127)));
}

function tableOf(layout: Layout): Float32Array {
  const bits = 1 + layout.exponentBits + layout.mantissaBits;
  return Float32Array.from({ length: 2 ** bits }, (_, pattern) => numberOf(layout, pattern, bits));
}

function numberOf({ exponentBits, mantissaBits, bias, kind }: Layout, pattern: number, bits: number): number {
  const sign = pattern >>> (bits - 1) ? -1 : 1;
  const magnitude = pattern & (2 ** (bits - 1) - 1);
  const exponent = magnitude >>> mantissaBits;
  const mantissa = magnitude & (2 ** mantissaBits - 1);
  if (kind === "fnuz" && sign < 0 && magnitude === 0) return Number.NaN;
  if (kind === "fn" && magnitude === 2 ** (bits - 1) - 1) return Number.NaN;
  if (kind === "ieee" && exponent === 2 ** exponentBits - 1)
    return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  const unit = 2 ** -mantissaBits;
  if (exponent === 0) return sign * mantissa * unit * 2 ** (1 - bias);
  return sign * (1 + mantissa * unit) * 2 ** (exponent - bias);
}

const scratch = new DataView(new ArrayBuffer(4));

/** The bfloat16 nearest to `value`, ties to even, as bits. */
export function bfloat16Bits(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  if (Number.isNaN(value)) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

export function bfloat16Value(bits: number): number {
  scratch.setUint32(0, bits << 16);
  return scratch.getFloat32(0);
}

/** The float16 nearest to `value`, ties to even, as bits. */
export function float16Bits(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (magnitude >= 65_520) return sign | 0x7c00; // from half a step above the largest on
  const exponent = Math.max(-14, Math.floor(Math.log2(magnitude || 2 ** -24)));
  const steps = toEven(magnitude / 2 ** (exponent - 10)); // of which 1024 make the next power
  const normal = exponent === -14 && steps < 1024 ? 0 : exponent + 15;
  return sign | (normal === 0 ? steps : (normal << 10) + (steps - 1024));
}

/** To the nearest whole number, halves to the even one. */
function toEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
