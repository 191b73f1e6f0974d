/** The filter over streams: words that occur, or a glob where `*` stays within a part of a topic and `**` does not. */

/** @param {string} pattern @returns {(text: string) => boolean} */
export function matcher(pattern) {
  const wanted = pattern.trim().toLowerCase();
  if (wanted === "") return () => true;
  if (!wanted.includes("*")) return (text) => text.toLowerCase().includes(wanted);
  const source = wanted
    .split(/(\*+)/)
    .map((part) =>
      part === "*" ? "[^/]*" : part.startsWith("*") ? ".*" : part.replace(/[\\^$.|?+()[\]{}]/g, "\\$&"),
    )
    .join("");
  const expression = new RegExp(`^${source}$`);
  return (text) => expression.test(text.toLowerCase());
}
