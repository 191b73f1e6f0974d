/** The dashboard: wires what is known (store), where it comes from (REST and events), and what shows it (views). */
import { ApiError, getJson, setToken, token } from "./api.js";
import { byId, setText } from "./dom.js";
import { Feed } from "./feed.js";
import { watchFreshness } from "./freshness.js";
import { Graph } from "./graph.js";
import { Inspector } from "./inspector.js";
import { Store } from "./store.js";
import { Tables } from "./tables.js";
import { wireTabs } from "./tabs.js";
import { wireTheme } from "./theme_button.js";
import { formatRate } from "./units.js";

/** @import { Hello, History, NodeInfo, Peer, Rates, Stream, Topic } from "../types.d.ts" */

/** Between two drawings; the eye does not follow more of a table. */
const DRAW_MS = 200;
const RETRY_MS = 2000;
/** Peers change slowly: their counters and round trips are asked for every so many seconds. */
const PEERS_EVERY_S = 3;
/** Asked for every second, for their progress. */
const LIVE_STREAMS = 200;
/** Where events are dropped there are more than a page can follow: the snapshot is fetched again at most so often. */
const DROPPED_EVERY_MS = 5000;

const store = new Store();
const graph = new Graph(store, byId("graph", HTMLElement));
const tables = new Tables(store);
const inspector = new Inspector(store);

/** Half of the page's code is uPlot: everything else is drawn and can be used before it. @type {import("./charts.js").Charts | undefined} */
let charts;
async function loadCharts() {
  const { Charts } = await import("./charts.js");
  charts = new Charts(store, byId("charts", HTMLElement));
  charts.update();
}

let drawing = false;
/** Draws soon, once for many changes; not at all while nobody can see it. */
function drawSoon() {
  if (drawing) return;
  drawing = true;
  setTimeout(() => requestAnimationFrame(draw), DRAW_MS);
}

function draw() {
  drawing = false;
  const { node, rates } = store;
  if (node) {
    setText(byId("node-name", HTMLElement), node.name || node.id.slice(0, 8));
    setText(byId("node-where", HTMLElement), `${node.community} · ${node.address} · ${node.runtime}`);
    document.title = `${node.name || node.id.slice(0, 8)} · ASoc`;
  }
  setText(byId("total-in", HTMLElement), formatRate(rates?.inBytesPerSecond ?? 0));
  setText(byId("total-out", HTMLElement), formatRate(rates?.outBytesPerSecond ?? 0));
  graph.update();
  charts?.update();
  tables.update();
  inspector.update();
}

let loading = false;
/** The whole state by REST; what events told meanwhile is not overwritten by older answers. */
async function load() {
  if (loading) return;
  loading = true;
  try {
    const [node, history, { peers }, { streams }, { topics }] = await Promise.all([
      /** @type {Promise<NodeInfo>} */ (getJson("/v1/node")),
      /** @type {Promise<History>} */ (getJson("/v1/history")),
      /** @type {Promise<{ peers: Peer[] }>} */ (getJson("/v1/peers")),
      /** @type {Promise<{ streams: Stream[] }>} */ (getJson("/v1/streams?limit=500")),
      /** @type {Promise<{ topics: Topic[] }>} */ (getJson("/v1/topics")),
    ]);
    store.load({ node, history, peers, streams, topics });
    draw();
    if (!document.documentElement.dataset.ready) {
      document.documentElement.dataset.ready = "true";
      performance.mark("asoc-ready");
    }
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) askForToken(error.message);
    else setTimeout(load, RETRY_MS);
  } finally {
    loading = false;
  }
}

/** Refreshes a part; when that fails the feed says so, and the next second tries again. @param {() => Promise<void>} part */
async function refresh(part) {
  try {
    await part();
    store.changed();
  } catch {
    // shown as stale when it lasts
  }
}

let ticks = 0;
/** With every second of rates: what the events do not tell (progress, counters) is asked for, if anybody looks. */
function tick() {
  ticks++;
  if (document.hidden) return;
  const live = store.rates?.liveStreams ?? 0;
  const known = store.liveIds();
  if (live > 0 || known.length > 0)
    void refresh(async () => {
      /** @type {{ streams: Stream[] }} */
      const { streams } = await getJson(`/v1/streams?state=live&limit=${LIVE_STREAMS}`);
      store.putLive(streams, streams.length < LIVE_STREAMS, known);
    });
  if (store.topicsStale)
    void refresh(async () => {
      /** @type {{ topics: Topic[] }} */
      const { topics } = await getJson("/v1/topics");
      store.loadTopics(topics);
    });
  if (ticks % PEERS_EVERY_S === 0)
    void refresh(async () => {
      /** @type {{ peers: Peer[] }} */
      const { peers } = await getJson("/v1/peers");
      store.peers = new Map(peers.map((peer) => [peer.id, peer]));
    });
}

let droppedAtMs = 0;
const feed = new Feed("/v1/events", {
  opened: () => {
    store.connected = true;
  },
  broken: (problem) => {
    store.connected = false;
    if (problem?.status === 401 || problem?.status === 403) askForToken(problem.message);
  },
  on: {
    hello: (data) => {
      store.heard();
      if (store.hello(/** @type {Hello} */ (data))) load();
    },
    rates: (data) => {
      store.heard();
      store.ratesEvent(/** @type {Rates} */ (data));
      tick();
    },
    peer: (data) => store.peerEvent(/** @type {{ kind: string, peer: Peer }} */ (data)),
    stream: (data) => store.streamEvent(/** @type {{ kind: string, stream: Stream }} */ (data)),
    refused: (data) => store.refusedEvent(/** @type {Record<string, string>} */ (data)),
    dropped: (data) => {
      store.dropped += /** @type {{ count: number }} */ (data).count;
      if (Date.now() - droppedAtMs < DROPPED_EVERY_MS) return;
      droppedAtMs = Date.now();
      store.note("events dropped", `${store.dropped} so far: more than this page is told of`);
      load();
    },
  },
});

const tokenForm = byId("token-form", HTMLFormElement);
const tokenField = byId("token", HTMLInputElement);

/** @param {string} why */
function askForToken(why) {
  setText(
    byId("token-why", HTMLElement),
    token() ? `This token was refused: ${why}` : "This gateway wants a token.",
  );
  if (!tokenForm.hidden) return;
  tokenForm.hidden = false;
  tokenField.focus();
}

tokenForm.addEventListener("submit", (event) => {
  event.preventDefault();
  setToken(tokenField.value.trim());
  tokenField.value = "";
  tokenForm.hidden = true;
  feed.reopen();
  load();
});

function restyle() {
  charts?.restyle();
  inspector.restyle();
}

wireTabs(byId("tabs", HTMLElement), () => tables.update());
wireTheme(byId("theme", HTMLButtonElement), restyle);
watchFreshness(store, () => feed.reopen());
store.addEventListener("changed", drawSoon);
store.addEventListener("selected", draw);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) load();
});
load();
void loadCharts();
