/**
 * The names of type URI in a certificate, read from its DER (RFC 5280, 4.2.1.6). The text that runtimes make of all names cannot be
 * taken apart: Deno does not mark a name that holds a comma, so that one name could pass for several.
 */
const SEQUENCE = 0x30;
const OID = 0x06;
const OCTETS = 0x04;
/** `[3]`, the extensions of what was signed. */
const EXTENSIONS = 0xa3;
/** `[6]` of GeneralName. */
const URI = 0x86;
const SUBJECT_ALT_NAME = "551d11";

interface Element {
  readonly tag: number;
  readonly content: Uint8Array;
}

/** What stands in `bytes` one after another. Throws RangeError where that is no DER. */
function* elements(bytes: Uint8Array): Generator<Element, void, undefined> {
  for (let at = 0; at < bytes.length; ) {
    const [tag = 0, first = 0] = bytes.subarray(at, at + 2);
    at += 2;
    let length = first;
    if (first >= 0x80) {
      const digits = first & 0x7f;
      if (digits === 0 || digits > 3) throw new RangeError("DER: expected a length of at most three bytes");
      length = bytes.subarray(at, at + digits).reduce((sum, digit) => sum * 256 + digit, 0);
      at += digits;
    }
    if (at + length > bytes.length) throw new RangeError("DER: it ends before its length");
    yield { tag, content: bytes.subarray(at, at + length) };
    at += length;
  }
}

function first(bytes: Uint8Array, tag: number): Uint8Array {
  for (const element of elements(bytes)) if (element.tag === tag) return element.content;
  return new Uint8Array(0);
}

/** Without names, and without DER: none. */
export function uriNames(certificate: Uint8Array): string[] {
  const found: string[] = [];
  try {
    const signed = first(first(certificate, SEQUENCE), SEQUENCE);
    for (const { content } of elements(first(first(signed, EXTENSIONS), SEQUENCE))) {
      if (Buffer.from(first(content, OID)).toString("hex") !== SUBJECT_ALT_NAME) continue;
      for (const name of elements(first(first(content, OCTETS), SEQUENCE)))
        if (name.tag === URI) found.push(Buffer.from(name.content).toString("latin1"));
    }
  } catch {
    return []; // what cannot be read names nobody
  }
  return found;
}
