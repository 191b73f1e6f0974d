/** Values with maps and big integers as JSON has them. */
export function plainJson(value: unknown): unknown {
  if (value instanceof Map) return plainJson(Object.fromEntries(value));
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(plainJson);
  if (value !== null && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plainJson(one)]));
  return value;
}
