/** A proven peer that breaks the rules of tensor streams: what it gets for it, and what it cannot cost. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { TensorPair } from "../../support/tensor_pair.ts";

/** A pair whose dialler is spoken for by hand. */
function abused(options: ConstructorParameters<typeof TensorPair>[0] = {}) {
  const pair = new TensorPair(options);
  pair.dialler.mute = true;
  return { pair, liar: pair.dialler, victim: pair.acceptor };
}

test("a Session whose peer asks RESUME? without end and reads nothing ends the connection", () => {
  const { pair, liar, victim } = abused();
  victim.blocked = true;
  for (let asked = 0; asked < 20_000 && !victim.session.closed; asked += 100) {
    const questions = Array.from({ length: 100 }, () =>
      liar.control(0, { kind: "resume_query", transferId: new Uint8Array(8) }),
    );
    pair.inject(liar, ...questions);
    for (const event of victim.events.splice(0))
      if (event.kind === "resumeAsked") victim.session.answerResume(new Uint8Array(8), 0);
      else victim.events.push(event);
    pair.run();
  }
  assert.equal(victim.closedWith(), "ASOC_RECORD_LIMIT");
});
