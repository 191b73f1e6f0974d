/** The golden session: each side, fed with what the other one wrote, writes exactly what stands in the file. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { joinBytes, toHex } from "../../../src/core/wire/bytes.ts";
import { frameOf, patternOf, RecordedSide, type Role, type Step } from "../../support/x1_recorded.ts";
import type { X1Vectors } from "../../support/x1_vectors.ts";

const text = readFileSync(new URL("../../vectors/x1.json", import.meta.url), "utf8");
const { sessions } = JSON.parse(text) as X1Vectors;
const isFrame = (step: Step): step is Extract<Step, { from: Role }> => "from" in step;

for (const role of ["dialler", "acceptor"] as const) {
  test(`the ${role} of the golden session writes every frame of it, byte for byte, and takes every tensor`, () => {
    assert.equal(sessions.length, 1);
    for (const recorded of sessions) {
      const side = new RecordedSide(role, recorded);
      const written: Uint8Array[] = [...side.written()];
      const tensors: Uint8Array[] = [];
      for (const step of recorded.steps) {
        if (isFrame(step)) {
          if (step.from === role) continue;
          side.hear(frameOf(step));
        } else if (step.side === role) side.act(step);
        else if (step.does === "send") tensors.push(patternOf(0, step.tensor.bytes));
        written.push(...side.written());
      }
      const frames = recorded.steps.filter(isFrame).filter((step) => step.from === role);
      assert.equal(toHex(joinBytes(written)), toHex(joinBytes(frames.map(frameOf))));
      assert.deepEqual(written.at(-1)?.length, 0, "FIN is its last word");
      assert.deepEqual(side.tensors, tensors);
    }
  });
}

test("the golden session has every kind of frame and record that a session without faults has", () => {
  const comments = sessions
    .flatMap(({ steps }) => steps.filter(isFrame).map((step) => step.comment))
    .join("\n");
  for (const word of "HELLO ACCEPT CAPS PROOF OPEN DATA CREDIT received CLOSE END verified PING PONG GOAWAY FIN".split(
    " ",
  )) {
    assert.match(comments, new RegExp(`\\b${word}\\b`));
  }
});
