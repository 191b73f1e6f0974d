/**
 * ASoc: moves tensors between machines. This module is the public API, and nothing else.
 *
 * @example
 * ```ts
 * import { join } from "asoc";
 * const node = await join({ community: "lab", apiKey: process.env.ASOC_API_KEY });
 * await node.send((await node.peers.wait(1))[0].id, tensorBytes);
 * ```
 */
export type { TlsOptions } from "./certs/options.ts";
export type {
  AccessBinding,
  AccessMatch,
  AccessOptions,
  AccessQuota,
  AccessRule,
  Permissions,
} from "./core/access/rules.ts";
export { AccessRules } from "./core/access/rules.ts";
export { formatAddress, isLoopback, parseAddress } from "./core/address.ts";
export type {
  AuditCount,
  AuditEntry,
  AuditEvent,
  AuditOutcome,
  AuditWhat,
  AuditWho,
} from "./core/audit/audit_event.ts";
export type { AuditListener } from "./core/audit/audit_trail.ts";
export { addressKey } from "./core/auth/admission.ts";
export type { KeyInfo, KeyRing, KeyState, RingKey } from "./core/auth/key_ring.ts";
export { plausibleKeyBits, WEAK_KEY_BITS } from "./core/auth/key_strength.ts";
export type { BeaconRefusal, RefusedBeacons } from "./core/discovery/discovery.ts";
export { describeRefused } from "./core/discovery/discovery.ts";
export {
  AsocError,
  type AsocErrorCode,
  AuthError,
  ClosedError,
  ConnectionError,
  FormatError,
  LimitError,
  ProtocolError,
} from "./core/errors.ts";
export { IncomingStream, Tensor, type TensorOptions } from "./core/incoming.ts";
export type { KeyChange, KeyOptions, KeyStore } from "./core/key_options.ts";
export type { RotateOptions, RotationPeer, RotationReport, RotationResult } from "./core/key_rotator.ts";
export {
  DEFAULT_LIMITS,
  type Limits,
  MAX_FILE_METADATA_BYTES,
  MAX_FILE_NAME_BYTES,
  MAX_SAFETENSORS_ENTRIES,
  MAX_TOPIC_BYTES,
  MAX_USER_METADATA_BYTES,
  type Timing,
} from "./core/limits.ts";
export { AsocNode } from "./core/node.ts";
export type { NodeEvent, NodeStats, SendOutcome } from "./core/node_events.ts";
export type { NodeKeys } from "./core/node_keys.ts";
export type { PeerEvent, Peers } from "./core/peers.ts";
export type { Address, TlsVerify } from "./core/runtime.ts";
export type { SendOptions, SendReport } from "./core/send_plan.ts";
export type { TensorDescription } from "./core/session/description.ts";
export type { DigestName } from "./core/session/digest.ts";
export type { Peer, PeerTls } from "./core/swarm/swarm.ts";
export { type DType, dtypeName, parseDType } from "./core/tensor/dtype.ts";
export { isNeedMore, type NeedMore } from "./core/tensor/need_more.ts";
export { decodeNpyHeader, encodeNpyHeader, type NpyArray, type NpyHeader } from "./core/tensor/npy.ts";
export { RECOGNISE_BYTES, recogniseFormat, type TensorFormat } from "./core/tensor/recognise.ts";
export {
  encodeSafetensorsHeader,
  type SafetensorsHeader,
  type SafetensorsTensor,
  type TensorInfo,
} from "./core/tensor/safetensors.ts";
export { decodeSafetensorsHeader } from "./core/tensor/safetensors_decode.ts";
export { tensorBytes } from "./core/tensor/shape.ts";
export type { TensorBytes, TensorData, TensorReader, TensorSource } from "./core/tensor/source.ts";
export { swapBytes } from "./core/tensor/swap_bytes.ts";
export type { TensorArray } from "./core/tensor/typed_view.ts";
export type { Subscription } from "./core/topics/subscriptions.ts";
export type { TapCounters } from "./core/topics/taps.ts";
export type { TrafficObserver, TrafficStream } from "./core/traffic.ts";
export { compileGlob, type TopicMatcher } from "./core/wire/glob.ts";
export { formatNodeId, parseNodeId } from "./core/wire/node_id.ts";
export type { TensorGroup, TensorShard } from "./core/wire/records/open_fields.ts";
export {
  carriesName,
  DEFAULT_COMMUNITY,
  DEFAULT_DISCOVERY_PORT,
  DEFAULT_PORT,
  type JoinOptions,
  join,
  newNodeId,
  openKeyRing,
} from "./join.ts";
export { CLUSTER_KEY_ITERATIONS, deriveClusterKey } from "./runtime/common/cluster_key.ts";
export { VERSION } from "./version.ts";
