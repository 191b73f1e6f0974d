/** The golden vectors of `test/vectors/v1.json`, typed. */
import { readFileSync } from "node:fs";

interface Handshake {
  readonly apiKey: string;
  readonly payload: string;
}

export interface Vectors {
  readonly frames: readonly {
    readonly type: number;
    readonly streamId: number;
    readonly seq: number;
    readonly payload: string;
    readonly frame: string;
  }[];
  readonly headersOnly: readonly {
    readonly type: number;
    readonly streamId: number;
    readonly seq: number;
    readonly length: number;
    readonly header: string;
  }[];
  readonly hello: readonly (Handshake & {
    readonly nodeId: string;
    readonly challenge: number;
    readonly frame: string;
  })[];
  readonly helloRejected: readonly (Handshake & { readonly why?: string; readonly flippedBit?: number })[];
  readonly accept: readonly (Handshake & { readonly token: string; readonly frame: string })[];
  readonly acceptRejected: readonly (Handshake & { readonly why?: string })[];
  readonly discovery: readonly {
    readonly community: string;
    readonly communityHash: string;
    readonly nodeId: string;
    readonly port: number;
    readonly timestamp: number;
    readonly challenge: number;
    readonly apiKey: string;
    readonly message: string;
  }[];
  readonly discoveryRejected: readonly {
    readonly community: string;
    readonly apiKey: string;
    readonly message: string;
    readonly why: string;
  }[];
  readonly streams: readonly {
    readonly streamId: number;
    readonly chunkSize: number;
    readonly tensor: string;
    readonly wire: string;
  }[];
}

export const vectors = JSON.parse(
  readFileSync(new URL("../vectors/v1.json", import.meta.url), "utf8"),
) as Vectors;
