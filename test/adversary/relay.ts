/**
 * Somebody in the middle: passes every frame on between a dialler and the node that it means, in both directions, and may
 * change those that it wants to. Knows no key.
 *
 * What the acceptor of one connection said last may come after the first words of the next connection: `connection`, from 1 on,
 * is that of the frame.
 */
import { frame, RawPeer, RawServer } from "../support/raw_peer.ts";
import { type RawFrame, readFrame } from "../support/raw_x1.ts";

export type Change = (came: RawFrame, from: "dialler" | "acceptor", connection: number) => RawFrame;

export async function relayTo(port: number, change: Change): Promise<RawServer> {
  let connections = 0;
  return RawServer.listen(async (dialler) => {
    const connection = ++connections;
    const acceptor = await RawPeer.connect(port);
    const pass = async (from: RawPeer, to: RawPeer, who: "dialler" | "acceptor") => {
      try {
        for (;;) {
          const { type, streamId, seq, payload } = change(await readFrame(from, 60_000), who, connection);
          to.send(frame(type, streamId, seq, payload));
        }
      } catch {
        to.finish(); // that side has ended
      }
    };
    void pass(dialler, acceptor, "dialler");
    void pass(acceptor, dialler, "acceptor");
  });
}
