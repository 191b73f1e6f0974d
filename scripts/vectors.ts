/** `npm run vectors`: writes the golden vectors of the extension x1 anew. After a change of the wire only (RFC-0004, section 16). */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { crypto } from "../src/runtime/common/host.ts";
import { makeX1Vectors, vectorsText } from "../test/support/x1_vectors.ts";

const FILE = join(import.meta.dirname, "..", "test", "vectors", "x1.json");
const vectors = makeX1Vectors(crypto);
writeFileSync(FILE, vectorsText(vectors));
process.stdout.write(
  `${FILE}: ${vectors.records.length} records, ${vectors.rejected.length} rejected, ` +
    `${vectors.handshakes.length} handshakes, ${vectors.sessions.length} sessions\n`,
);
