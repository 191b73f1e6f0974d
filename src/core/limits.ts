/**
 * Every number that a remote side can push, in one place, and every delay of RFC-0001.
 *
 * All but the caps of tensor descriptions, at the end, can be set through `join({ limits: { … } })`. Units stand in
 * the names.
 */

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;

/** Caps: what a peer, or a stranger, can make this node hold or do. */
export interface Limits {
  /** Largest payload of an arriving frame; checked on the header (RFC-0001, Frames). */
  readonly maxPayloadBytes: number;
  /** Largest tensor that is assembled in memory; chunk by chunk there is no cap. */
  readonly maxTensorBytes: number;
  /** Tensor memory of the whole node: arriving, waiting and not yet released. */
  readonly memoryBudgetBytes: number;
  /** Released tensor memory that is kept for the next tensor. */
  readonly idleMemoryBytes: number;
  /** More of it, within the budget, goes when it was not used for so long, or at most for twice as long. */
  readonly idleMemoryMs: number;
  /** What a stream that is read chunk by chunk may hold before its connection pauses. */
  readonly maxChunkAheadBytes: number;
  /** Streams that one connection may have open, and failed ones that it may have unfinished. */
  readonly maxInboundStreams: number;
  /** Frames a second that one connection may bring while others are active; what is beyond waits. */
  readonly sharedFramesPerSecond: number;
  /** Streams that have started here and that no reader of `incoming` has taken. */
  readonly maxQueuedStreams: number;
  /** Events that wait for one slow reader of `events()`; the oldest go first. */
  readonly maxQueuedEvents: number;
  /** Refusals of one reason from one address, and of all addresses, that the audit tells one by one in a window. */
  readonly maxAuditPerAddress: number;
  readonly maxAuditPerKind: number;
  /** After it what was left out is told as one event. */
  readonly auditWindowMs: number;
  /** Peers whose quotas are remembered (RFC-0103). */
  readonly maxQuotaPeers: number;
  /** Handshakes in progress at once, inbound. */
  readonly maxPendingHandshakes: number;
  /** TLS handshakes that strangers can begin in a second, all together; familiar addresses have as many of their own. */
  readonly maxTlsHandshakesPerSecond: number;
  /** Inbound connections at once. */
  readonly maxConnections: number;
  /** Failed handshakes from one address before new connections from it are blocked. */
  readonly maxFailedHandshakes: number;
  /** Failures older than this no longer count. */
  readonly failureWindowMs: number;
  /** First block of an address; doubles with each further one. */
  readonly blockMs: number;
  readonly maxBlockMs: number;
  /** Connections an hour from an address that never authenticated. */
  readonly maxAttemptsPerHour: number;
  /** The same from an address that holds an authenticated session (NAT), as a factor. */
  readonly authenticatedAttemptsFactor: number;
  /** Addresses, uuids and challenges that the abuse tables remember. */
  readonly maxTrackedAddresses: number;
  readonly maxReplayEntries: number;
  /** How long a (uuid, challenge) pair of a HELLO is remembered, if the window is not full before. */
  readonly helloReplayWindowMs: number;
  /** Peers that discovery remembers. */
  readonly maxDiscoveredPeers: number;
  /** What each stream may bring before its reader grants more (x1); less where many connections share a small budget. */
  readonly initialCreditBytes: number;
  /** A receiver confirms whenever so much has come; sooner while streams of several priorities share the connection (x1). */
  readonly ackBytes: number;
  /** X25519 exchanges a minute that one address can make this node compute; past that it does without (x1). */
  readonly maxKeyExchangesPerMinute: number;
  /** Keys that rotations of peers may bring in an hour, and changes of keys that they may ask for in it. */
  readonly maxRotationsPerHour: number;
  readonly maxKeyChangesPerHour: number;
  /** Addresses that are tried for one discovered peer. */
  readonly maxAddressesPerPeer: number;
  /** Tensor memory of transfers that broke and wait for their rest; the oldest go first, the newest never. */
  readonly suspendedBytes: number;
  /** How many of them, and how many delivered ones are remembered so that none is delivered twice. */
  readonly maxSuspended: number;
  readonly maxDelivered: number;
  /** Globs that one peer may tap at once (x1). */
  readonly maxTapsPerPeer: number;
  /** New beacons a second from one uuid. */
  readonly maxBeaconsPerSecondPerNode: number;
  /** Beacons a second from one address. */
  readonly maxBeaconsPerSecondPerAddress: number;
  /** Datagrams a second that are read; when there were so many, the port is closed for the rest of the second. */
  readonly maxDatagramsPerSecond: number;
  /** Clock difference that a beacon may have. */
  readonly maxClockSkewS: number;
  /** How long a challenge of a beacon is remembered: as long as a clock ahead may keep its beacon valid. */
  readonly beaconReplayWindowMs: number;
  /** A repeat of a beacon within this time is a copy by another interface, no attack. */
  readonly beaconDuplicateMs: number;
}

/** Delays of RFC-0001. */
export interface Timing {
  readonly handshakeTimeoutMs: number;
  readonly dialTimeoutMs: number;
  /** How long an acceptor waits for CAPS of a dialler that may speak x1, before it takes it for a v0.1 peer. */
  readonly capsWaitMs: number;
  /** A CONTROL frame goes out on a connection that must stay. */
  readonly keepaliveMs: number;
  /** How long both sides of a transfer that broke wait for its rest (RFC-0006, Resume). */
  readonly resumeMs: number;
  /** A send without progress for so long ends the connection. */
  readonly sendStallMs: number;
  /** Silence on an open stream for so long ends the connection. */
  readonly silenceMs: number;
  /** Streams that wait for tensor memory are told of after so long without a byte. */
  readonly memoryWaitMs: number;
  /** After our FIN: how long the peer's FIN is awaited. */
  readonly lingerMs: number;
  readonly beaconIntervalMs: number;
  readonly peerStaleMs: number;
  readonly reconnectMinMs: number;
  readonly reconnectMaxMs: number;
  readonly reconnectCapMs: number;
  /** The first redial of a peer that had proven itself comes within this. */
  readonly reconnectProvenMs: number;
  /** Failures in a row after which a discovered peer is dropped. */
  readonly discoveredDialAttempts: number;
  /** How long a dropped peer's beacons are passed over. */
  readonly droppedPeerMs: number;
}

export const DEFAULT_LIMITS: Limits & Timing = {
  maxPayloadBytes: 16 * MiB,
  maxTensorBytes: 4 * GiB,
  memoryBudgetBytes: 4 * GiB,
  idleMemoryBytes: 128 * MiB,
  idleMemoryMs: 1000,
  maxChunkAheadBytes: 16 * MiB,
  maxInboundStreams: 4096,
  sharedFramesPerSecond: 200_000,
  maxQueuedStreams: 16_384,
  maxQueuedEvents: 16_384,
  maxAuditPerAddress: 5,
  maxAuditPerKind: 100,
  auditWindowMs: 10_000,
  maxQuotaPeers: 4096,
  maxPendingHandshakes: 64,
  maxTlsHandshakesPerSecond: 100,
  maxConnections: 100,
  maxFailedHandshakes: 5,
  failureWindowMs: 600_000,
  blockMs: 30_000,
  maxBlockMs: 3_600_000,
  maxAttemptsPerHour: 100,
  authenticatedAttemptsFactor: 10,
  maxTrackedAddresses: 4096,
  maxReplayEntries: 65_536,
  helloReplayWindowMs: 3_600_000,
  maxDiscoveredPeers: 4096,
  // What the buffers of both systems hold of one connection: with less, each tensor waits once for them to be drained.
  initialCreditBytes: 4 * MiB,
  // Each one wakes the sender: every 8 MiB cost 5% of bulk.
  ackBytes: 64 * MiB,
  maxKeyExchangesPerMinute: 600,
  maxRotationsPerHour: 12,
  maxKeyChangesPerHour: 120,
  maxAddressesPerPeer: 8,
  suspendedBytes: GiB,
  maxSuspended: 1024,
  maxDelivered: 65_536,
  maxTapsPerPeer: 16,
  maxBeaconsPerSecondPerNode: 1,
  maxBeaconsPerSecondPerAddress: 10,
  maxDatagramsPerSecond: 4096,
  maxClockSkewS: 60,
  beaconReplayWindowMs: 120_000,
  beaconDuplicateMs: 1000,

  handshakeTimeoutMs: 10_000,
  dialTimeoutMs: 10_000,
  capsWaitMs: 500,
  keepaliveMs: 12_000,
  resumeMs: 120_000,
  sendStallMs: 10_000,
  silenceMs: 30_000,
  memoryWaitMs: 10_000,
  lingerMs: 10_000,
  beaconIntervalMs: 3000,
  peerStaleMs: 15_000,
  reconnectMinMs: 1000,
  reconnectMaxMs: 5000,
  reconnectCapMs: 60_000,
  reconnectProvenMs: 100,
  discoveredDialAttempts: 3,
  droppedPeerMs: 60_000,
};

/**
 * Caps of the extension x1 that are part of its wire format: both sides hold the same, so they cannot be set.
 * Bytes of text are bytes of its UTF-8.
 */
/** Payload of one CONTROL frame. */
export const MAX_CONTROL_BYTES = 16 * KiB;
/** Payload of a CONTROL frame before the proof: CAPS, PROOF, and room for records yet to come. */
export const MAX_HANDSHAKE_CONTROL_BYTES = 2 * KiB;
/** Answers to PING that wait to be written; further PINGs are not answered. */
export const MAX_WAITING_ANSWERS = 64;
/** CONTROL frames that wait to be written; a peer that causes more and reads none of them is cut off. */
export const MAX_WAITING_CONTROL = 16_384;
/** Fewer ids than this are left to one side of a connection: it is given up for a new one. */
export const MIN_STREAM_IDS = 32_768;
/** Least max_frame of a peer: smaller frames would cost more in headers and calls than they carry. */
export const MIN_X1_FRAME_BYTES = KiB;
/** The CAPS record with its header: a stranger sends it before any proof. */
export const MAX_CAPS_BYTES = KiB;
export const MAX_CAPS_ADDRESSES = 8;
/** A host name (RFC 1035), or an IP address as text. */
export const MAX_HOST_BYTES = 253;
export const MAX_ZONE_BYTES = 64;
export const MAX_LABELS = 32;
export const MAX_LABEL_KEY_BYTES = 63;
export const MAX_LABEL_VALUE_BYTES = 255;
export const MAX_TOPIC_BYTES = 255;
export const MAX_GLOB_BYTES = 255;
export const MAX_FILE_NAME_BYTES = 255;
export const MAX_FILE_METADATA_BYTES = 4 * KiB;
export const MAX_USER_METADATA_BYTES = 8 * KiB;
/** Digest of a tensor, of algorithms yet to come too. */
export const MAX_DIGEST_BYTES = 64;
/** A handshake has so long to itself before it may make way for a newer one. */
export const UNDISTURBED_HANDSHAKE_MS = 300;
/** Text of AGENT. */
export const MAX_AGENT_BYTES = 64;
/** Reason of RESET and STOP, text of ERROR. */
export const MAX_REASON_BYTES = 256;
/** Keys of a ring that are believed at once: what a HELLO or a beacon of a stranger costs. */
export const MAX_KEYS_TRIED = 4;
/** Keys of a ring, with the ids of revoked ones. */
export const MAX_RING_KEYS = 20;
/** How far the epoch of a key that a rotation brings may lie ahead: nobody can use them up. */
export const MAX_EPOCH_STEP = 1024;
/** How long a key may be on offer. */
export const MAX_OFFER_MS = 3_600_000;
/** How long before the end of its key a connection is made anew with another. */
export const KEY_RENEW_MS = 300_000;
/** How long one that nobody has renewed goes on after that end, and then its streams after GOAWAY. */
export const KEY_DRAIN_MS = 30_000;
/** A key that KEY_NEW carries, and any key of a ring. */
export const MAX_ROTATED_KEY_BYTES = KiB;

/** Rules of one access list, and values of one of their fields (RFC-0103). */
export const MAX_ACCESS_RULES = 4096;
export const MAX_ACCESS_VALUES = 4096;

/** Copies on their way to one peer that taps. */
export const MAX_TAP_COPIES = 16;
/** Connections to one dialled peer that may finish their streams after GOAWAY, before it is dialled again. */
export const MAX_LINKS_PER_TARGET = 2;

/** Sizes that only this side chooses. */
export const CHUNK_BYTES = MiB;
/** The most that one read puts in place: a payload's rest up to here. */
export const READ_BYTES = MiB;
/** Where small frames land many at a time. */
export const STAGING_BYTES = 128 * KiB;
/** Frames up to this payload share one write, and one read. */
export const SMALL_PAYLOAD_BYTES = 16 * KiB;
/** Bytes of one write; it adapts to the link between these. */
export const MIN_WRITE_BYTES = 64 * KiB;
export const MAX_WRITE_BYTES = 4 * MiB;
/** What all streams of a connection may bring before their first CREDIT, as a multiple of one stream's (RFC-0006, Credit). */
export const CONNECTION_CREDIT_FACTOR = 4;
/** The window of the n-th connection is at most the memory budget divided by n and by this (`initialCreditFor`). */
export const WINDOW_BUDGET_DIVISOR = 32;
/** Memory that a tensor of unknown length begins with; it grows from there. */
export const UNKNOWN_LENGTH_BYTES = MiB;
/** While something more urgent is under way: bytes that the receiver has not confirmed, and the longest chunk. */
export const HELD_BYTES = MiB;
export const HELD_CHUNK_BYTES = 256 * KiB;
/** The longest chunk, and about the longest write, of bulk amid which small tensors go out. */
export const MIXED_CHUNK_BYTES = 512 * KiB;
/** How long after its last chunk a stream counts as under way for that. */
export const LEAD_MS = 1000;
/** As `ackBytes`, while streams of several priorities share the connection. */
export const MIXED_ACK_BYTES = 256 * KiB;
/** Tensors up to this size get their memory before anybody reads them. */
export const EAGER_TENSOR_BYTES = 64 * MiB;
/** The smallest tensor buffer. */
export const MIN_BUFFER_BYTES = 4 * KiB;

/** Dimensions of a tensor: what NumPy 2 allows, and more than any model in use has. */
export const MAX_RANK = 64;
/** An npy header. NumPy itself reads up to 10,000 bytes of what it does not trust. */
export const MAX_NPY_HEADER_BYTES = 64 * KiB;
/** The JSON header of a safetensors file; the reference implementation stops at 100 MB. */
export const MAX_SAFETENSORS_HEADER_BYTES = 16 * MiB;
/** Tensors of one safetensors file, and entries of its `__metadata__`. */
export const MAX_SAFETENSORS_ENTRIES = 131_072;
