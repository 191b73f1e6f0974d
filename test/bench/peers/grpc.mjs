/**
 * @grpc/grpc-js 1: gRPC in JavaScript over Node.js's HTTP/2, without TLS.
 *
 * Its fair best: the receiver is the client of a server stream, because only a client can be given a larger HTTP/2
 * window (`grpc-node.flow_control_window`; a server receives with 64 KiB windows and takes half as much again in CPU).
 * So the sender tells the receiver's service where to fetch, and then streams messages of 1 MiB until `write` says
 * that the buffer is full, then waits for "drain". Messages are the tensor's bytes as they are, without protobuf, and
 * have no size limit. The receiver copies each message into the one reused tensor.
 */
import { Client, credentials, Server, ServerCredentials } from "@grpc/grpc-js";
import { parts, Reply, servePeer } from "./common.ts";

const OPTIONS = {
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
  "grpc-node.flow_control_window": 8 << 20,
};
const EMPTY = Buffer.alloc(0);
const asIs = (bytes) => bytes;
const method = (name, requestStream, responseStream) => ({
  path: `/asoc.bench.Tensors/${name}`,
  requestStream,
  responseStream,
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
});
/** To the sender: stream the tensors. */
const FETCH = method("Fetch", false, true);
/** To the receiver: fetch from this port. */
const OFFER = method("Offer", false, false);
/** To the receiver: send every message back. */
const ECHO = method("Echo", true, true);

function serve(methods, handlers) {
  const server = new Server(OPTIONS);
  server.addService(methods, handlers);
  return new Promise((resolve, reject) => {
    const bound = (error, port) => (error ? reject(error) : resolve(port));
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), bound);
  });
}

const dial = (port) => new Client(`127.0.0.1:${port}`, credentials.createInsecure(), OPTIONS);

async function makeReceiver() {
  /** @type {import("./common.ts").TensorSink | undefined} */
  let sink;
  const clients = new Map();
  const offer = (call, answer) => {
    const port = Number(call.request);
    const client = clients.get(port) ?? dial(port);
    clients.set(port, client);
    const stream = client.makeServerStreamRequest(FETCH.path, asIs, asIs, EMPTY);
    stream.on("data", (message) => sink?.copy(message));
    answer(null, EMPTY);
  };
  const echo = (call) => {
    call.on("data", (message) => call.write(message));
    call.on("end", () => call.end());
  };
  const port = await serve({ offer: OFFER, echo: ECHO }, { offer, echo });
  return {
    address: { port },
    receive: (next) => {
      sink = next;
    },
    echo: () => {},
  };
}

async function makeSender() {
  let fetched = async (_stream) => {};
  const ownPort = await serve({ fetch: FETCH }, { fetch: (stream) => fetched(stream) });
  const clients = new Map();
  const connect = (port) => {
    const client = clients.get(port) ?? dial(port);
    clients.set(port, client);
    return client;
  };
  return {
    send({ port, count, frameBytes }, memory) {
      const messages = [...parts(memory, frameBytes)].map((part) =>
        Buffer.from(part.buffer, part.byteOffset, part.length),
      );
      return new Promise((resolve, reject) => {
        fetched = async (stream) => {
          for (let i = 0; i < count; i++) {
            for (const message of messages) {
              if (!stream.write(message)) await new Promise((drained) => stream.once("drain", drained));
            }
          }
          stream.on("finish", resolve);
          stream.end();
        };
        connect(port).makeUnaryRequest(OFFER.path, asIs, asIs, Buffer.from(String(ownPort)), (error) => {
          if (error) reject(error);
        });
      });
    },
    async pinger({ port }, message) {
      const call = connect(port).makeBidiStreamRequest(ECHO.path, asIs, asIs);
      const reply = new Reply();
      const bytes = Buffer.from(message);
      call.on("data", (answer) => reply.add(answer.length));
      return () => {
        const answered = reply.next(bytes.length);
        call.write(bytes);
        return answered;
      };
    },
  };
}

await servePeer(makeReceiver, makeSender);
