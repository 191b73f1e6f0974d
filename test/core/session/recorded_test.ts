/** The golden sessions: each side, fed with what the other one wrote, writes exactly what stands in the file. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { joinBytes, toHex } from "../../../src/core/wire/bytes.ts";
import {
  type Action,
  frameOf,
  patternOf,
  RecordedSide,
  type Role,
  type Step,
} from "../../support/x1_recorded.ts";
import type { X1Vectors } from "../../support/x1_vectors.ts";

const text = readFileSync(new URL("../../vectors/x1.json", import.meta.url), "utf8");
const { sessions } = JSON.parse(text) as X1Vectors;
const isFrame = (step: Step): step is Extract<Step, { from: Role }> => "from" in step;

const isAction = (step: Step): step is Action => "does" in step;

for (const [index, recorded] of sessions.entries()) {
  for (const role of ["dialler", "acceptor"] as const) {
    test(`the ${role} of golden session ${index} (${recorded.name}) writes every frame of it, byte for byte, and takes every tensor`, () => {
      const side = new RecordedSide(role, recorded);
      const written: Uint8Array[] = [...side.written()];
      const due = new Map<string, number>();
      for (const [at, step] of recorded.steps.entries()) {
        if ("cut" in step) side.cut(step);
        else if (isFrame(step)) {
          if (step.from === role) continue;
          side.hear(frameOf(step));
        } else if (step.side === role) side.act(step);
        if (isAction(step) && "transferId" in step && step.does !== "more") due.delete(step.transferId);
        else if (isAction(step) && step.does === "send" && step.side !== role)
          due.set(step.tensor.transferId, step.tensor.bytes);
        const next = recorded.steps[at + 1];
        if (!next || isFrame(next)) written.push(...side.written());
      }
      const frames = recorded.steps.filter(isFrame).filter((step) => step.from === role);
      assert.equal(toHex(joinBytes(written)), toHex(joinBytes(frames.map(frameOf))));
      assert.deepEqual(written.at(-1)?.length, 0, "FIN is its last word");
      const byLength = (a: Uint8Array, b: Uint8Array) => a.length - b.length; // no two are equally long
      assert.deepEqual(
        side.tensors.toSorted(byLength),
        [...due.values()].map((bytes) => patternOf(0, bytes)).toSorted(byLength),
      );
    });
  }
}

const WORDS = [
  "HELLO ACCEPT CAPS PROOF OPEN DATA CREDIT received CLOSE END verified PING PONG GOAWAY FIN",
  "OPEN RESET STOP received verified",
  "RESUME\\? RESUME! from verified",
];

for (const [index, words] of WORDS.entries()) {
  test(`golden session ${index} has what it is there to show`, () => {
    const frames = (sessions[index]?.steps ?? []).filter(isFrame);
    const comments = frames.map((step) => step.comment).join("\n");
    for (const word of words.split(" ")) assert.match(comments, new RegExp(`\\b${word}`));
    if (index === 1) assert.match(comments, /CONTROL \d+: CREDIT/, "of the connection");
  });
}
