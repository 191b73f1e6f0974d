/** Peers, streams and topics as the gateway's JSON: nothing is omitted, what is not known is null. */
import { formatAddress, type Peer } from "../../src/mod.ts";
import { errorFacts } from "../errors.ts";
import type { Entry } from "./entry.ts";
import type { PeerCounters } from "./peer_counters.ts";
import type { TopicRecord } from "./recorder.ts";

export function timeText(ms: number): string {
  return new Date(ms).toISOString();
}

export function peerJson(peer: Peer, counters: PeerCounters) {
  const sinceMs = counters.sinceMs(peer.id);
  return {
    id: peer.id,
    nodeId: peer.nodeId ?? null,
    address: formatAddress(peer.address),
    runtime: peer.runtime ?? null,
    protocol: peer.protocol === "x1" ? ("x1" as const) : ("v0.1" as const),
    takesTensors: peer.takesTensors,
    tls: peer.tls ? { ...peer.tls, certificateSha256: peer.tls.certificateSha256 ?? null } : null,
    since: sinceMs === undefined ? null : timeText(sinceMs),
    roundTripMs: peer.roundTripMs ?? null,
    clockSkewMs: peer.clockSkewMs ?? null,
    ...counters.totals(peer.id),
  };
}

export function streamJson(entry: Entry, nowMs: number = Date.now()) {
  const { stream } = entry;
  const { startedAtMs, endedAtMs, movedBytes, state } = stream;
  const durationMs = Math.max(0, (endedAtMs ?? nowMs) - startedAtMs);
  return {
    id: stream.id,
    direction: stream.direction,
    peer: stream.peer.id,
    streamId: stream.streamId,
    transferId: stream.transferId ?? null,
    topic: stream.topic,
    dtype: stream.dtype ?? null,
    shape: [...stream.shape],
    totalBytes: stream.totalBytes ?? null,
    movedBytes,
    state,
    priority: stream.priority,
    startedAt: timeText(startedAtMs),
    endedAt: endedAtMs === undefined ? null : timeText(endedAtMs),
    durationMs,
    bytesPerSecond: durationMs > 0 ? Math.round((movedBytes / durationMs) * 1000) : null,
    digest: stream.digest ?? null,
    error:
      state === "failed"
        ? (errorFacts(stream.error) ?? { code: "ASOC_CANCELLED", message: "It failed" })
        : null,
    cuts: stream.cuts,
    available: entry.available,
    metadata: stream.metadata ?? null,
  };
}

export function topicJson(record: TopicRecord) {
  const { topic, count, bytes, lastAtMs, last } = record;
  return {
    topic,
    count,
    bytes,
    lastAt: timeText(lastAtMs),
    lastStream: last.stream.id,
    dtype: last.stream.dtype ?? null,
    shape: [...last.stream.shape],
    available: last.available,
  };
}
