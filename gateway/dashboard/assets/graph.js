/**
 * The peers as a graph: this node in the middle, a pair of edges to each peer, as thick as what flows there.
 * Peers are buttons; the others are drawn anew only when who is there changes.
 */
import { h, setAttributes, setText, svg } from "./dom.js";
import { formatRate } from "./units.js";

/** Up to here peers have large boxes, and edges carry their figures; with more, small boxes around the rim have the sums. */
const LARGE = 8;
const BOX = { width: 108, height: 42 };
const SMALL_BOX = { width: 72, height: 34 };
/** Between the centres of small boxes, at least. */
const PITCH = { x: 78, y: 56 };

/** @typedef {{ x: number, y: number }} Point */
/** @typedef {{ button: SVGGElement, name: SVGTextElement, rate: SVGTextElement, edges: { in: SVGPathElement, out: SVGPathElement }, label: SVGGElement, labels: { in: SVGTextElement, out: SVGTextElement } }} Drawn */

export class Graph {
  #store;
  #host;
  #drawing = svg("svg", { role: "group", "aria-label": "Peers of this node" });
  #more = h("p", { class: "note" });
  /** @type {Map<string, Drawn>} */
  #drawn = new Map();
  #signature = "";
  #width = 0;
  #height = 0;

  /** @param {import("./store.js").Store} store @param {HTMLElement} host */
  constructor(store, host) {
    this.#store = store;
    this.#host = host;
    host.append(this.#drawing, this.#more);
    new ResizeObserver(() => this.update()).observe(host);
  }

  update() {
    const { peers, node, selection } = this.#store;
    const width = Math.max(280, this.#host.clientWidth);
    const height = Math.max(310, Math.min(350, Math.round(width * 0.66)));
    const room = rimOf(width, height).length;
    const shown = [...peers.keys()].slice(0, room);
    const isLarge = shown.length <= LARGE;
    const signature = `${width} ${node?.id} ${shown.join()}`;
    if (signature !== this.#signature) {
      this.#signature = signature;
      this.#width = width;
      this.#height = height;
      this.#draw(shown);
    }
    for (const [id, drawn] of this.#drawn) {
      const rate = this.#store.peerRates.get(id) ?? { in: 0, out: 0 };
      const peer = peers.get(id);
      const name = this.#store.peerName(id);
      setText(drawn.name, name);
      const address = shorten(peer?.runtime ?? peer?.address ?? "");
      setText(drawn.rate, isLarge ? address : formatRate(rate.in + rate.out));
      for (const direction of /** @type {const} */ (["in", "out"])) {
        setAttributes(drawn.edges[direction], {
          "stroke-width": thickness(rate[direction]).toFixed(1),
          class: `edge ${direction}${rate[direction] > 0 ? " flows" : ""}`,
        });
        setText(drawn.labels[direction], `${direction === "in" ? "←" : "→"} ${formatRate(rate[direction])}`);
      }
      setAttributes(drawn.label, { class: rate.in + rate.out > 0 ? "rates" : "rates idle" });
      setAttributes(drawn.button, {
        "aria-pressed": String(selection.kind === "peer" && selection.id === id),
        "aria-label": `${name} ${drawn.rate.textContent}, peer at ${peer?.address ?? "?"}, in ${formatRate(rate.in)}, out ${formatRate(rate.out)}`,
      });
    }
    setText(
      this.#more,
      peers.size === 0
        ? "Nobody is connected yet."
        : peers.size > room
          ? `and ${peers.size - room} more, in the table`
          : "",
    );
    this.#more.hidden = this.#more.textContent === "";
  }

  /** @param {string[]} ids */
  #draw(ids) {
    const focused = this.#drawing.querySelector(":focus")?.getAttribute("data-id");
    const [width, height] = [this.#width, this.#height];
    setAttributes(this.#drawing, { viewBox: `0 0 ${width} ${height}`, width, height });
    const edges = svg("g", { "aria-hidden": "true" });
    const labels = svg("g", { "aria-hidden": "true" });
    const buttons = svg("g");
    this.#drawn.clear();
    const isLarge = ids.length <= LARGE;
    const { centre, places } = isLarge
      ? placesAround(ids.length, width, height)
      : placesOnRim(ids.length, width, height);
    ids.forEach((id, index) => {
      const drawn = this.#drawPeer(id, centre, places[index] ?? centre, isLarge);
      this.#drawn.set(id, drawn);
      edges.append(drawn.edges.in, drawn.edges.out);
      labels.append(drawn.label);
      buttons.append(drawn.button);
    });
    this.#drawing.replaceChildren(edges, this.#drawSelf(centre), buttons, labels);
    if (focused) this.#drawn.get(focused)?.button.focus();
  }

  /** @param {Point} at */
  #drawSelf({ x, y }) {
    const { node } = this.#store;
    const name = node?.name || node?.id.slice(0, 8) || "this node";
    return svg(
      "g",
      { class: "self", transform: `translate(${x} ${y})`, "aria-hidden": "true" },
      boxOf(BOX),
      svg("text", { y: -2, "text-anchor": "middle", class: "name" }, name),
      svg("text", { y: 13, "text-anchor": "middle", class: "sub" }, "this node"),
    );
  }

  /**
   * @param {string} id
   * @param {Point} from
   * @param {Point} to
   * @param {boolean} isLarge
   * @returns {Drawn}
   */
  #drawPeer(id, from, to, isLarge) {
    const name = svg("text", { y: -2, "text-anchor": "middle", class: "name" });
    const rate = svg("text", { y: 13, "text-anchor": "middle", class: "sub" });
    const button = svg(
      "g",
      {
        class: isLarge ? "peer" : "peer small",
        transform: `translate(${to.x} ${to.y})`,
        role: "button",
        tabindex: 0,
        "data-id": id,
      },
      boxOf(isLarge ? BOX : SMALL_BOX),
      name,
      " ", // else their texts run together in the name that is read out
      rate,
    );
    const choose = () => this.#store.select({ kind: "peer", id });
    button.addEventListener("click", choose);
    button.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      choose();
    });
    const labels = {
      in: svg("text", { y: -3, "text-anchor": "middle", class: "in" }),
      out: svg("text", { y: 11, "text-anchor": "middle", class: "out" }),
    };
    const at = { x: from.x + (to.x - from.x) * 0.5, y: from.y + (to.y - from.y) * 0.5 };
    const label = svg("g", { class: "rates", transform: `translate(${at.x} ${at.y})` });
    if (isLarge) label.append(labels.in, labels.out);
    return {
      button,
      name,
      rate,
      label,
      labels,
      edges: { in: svg("path", { d: bow(to, from) }), out: svg("path", { d: bow(from, to) }) },
    };
  }
}

/** Slightly bent to its right, so that both directions are seen. @param {{ x: number, y: number }} a @param {{ x: number, y: number }} b */
function bow(a, b) {
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const length = Math.hypot(dx, dy) || 1;
  const bend = 14;
  return `M ${a.x} ${a.y} Q ${(a.x + b.x) / 2 - (dy / length) * bend} ${(a.y + b.y) / 2 + (dx / length) * bend} ${b.x} ${b.y}`;
}

/** @param {{ width: number, height: number }} size */
const boxOf = ({ width, height }) => svg("rect", { x: -width / 2, y: -height / 2, width, height, rx: 10 });

/**
 * A few peers around the node, none level with it: an edge has more room for its figures when it is not between two boxes
 * side by side. Three would leave the lower quarter empty: what there is fills the height.
 *
 * @param {number} count
 * @param {number} width
 * @param {number} height
 * @returns {{ centre: Point, places: Point[] }}
 */
function placesAround(count, width, height) {
  const start = -Math.PI / 2 + (count % 4 === 0 ? Math.PI / count : 0);
  const shares = Array.from({ length: count }, (_, index) => {
    const angle = start + (2 * Math.PI * index) / count;
    return { x: spread(Math.cos(angle)), y: spread(Math.sin(angle)) };
  });
  const top = Math.min(0, ...shares.map(({ y }) => y));
  const bottom = Math.max(0, ...shares.map(({ y }) => y));
  const margin = BOX.height / 2 + 5;
  const scale = (height - 2 * margin) / Math.max(1, bottom - top);
  const centre = { x: width / 2, y: bottom > top ? margin - top * scale : height / 2 };
  const reach = width / 2 - BOX.width / 2 - 4;
  return { centre, places: shares.map(({ x, y }) => ({ x: centre.x + x * reach, y: centre.y + y * scale })) };
}

/**
 * Where small boxes can be on the rim, clockwise from the upper left corner; never less than LARGE places.
 *
 * @param {number} width
 * @param {number} height
 * @returns {Point[]}
 */
function rimOf(width, height) {
  const [right, down] = [width - SMALL_BOX.width - 8, height - SMALL_BOX.height - 8];
  const columns = Math.floor(right / PITCH.x);
  const rows = Math.floor(down / PITCH.y);
  /** @param {number} column @param {number} row @returns {Point} */
  const at = (column, row) => ({
    x: SMALL_BOX.width / 2 + 4 + (right * column) / columns,
    y: SMALL_BOX.height / 2 + 4 + (down * row) / rows,
  });
  return [
    ...Array.from({ length: columns }, (_, index) => at(index, 0)),
    ...Array.from({ length: rows }, (_, index) => at(columns, index)),
    ...Array.from({ length: columns }, (_, index) => at(columns - index, rows)),
    ...Array.from({ length: rows }, (_, index) => at(0, rows - index)),
  ];
}

/**
 * Many peers on the rim.
 *
 * @param {number} count
 * @param {number} width
 * @param {number} height
 * @returns {{ centre: Point, places: Point[] }}
 */
function placesOnRim(count, width, height) {
  const rim = rimOf(width, height);
  const centre = { x: width / 2, y: height / 2 };
  const place = (/** @type {number} */ index) => rim[Math.floor((index * rim.length) / count)] ?? centre;
  return { centre, places: Array.from({ length: count }, (_, index) => place(index)) };
}

/** Away from the middle, towards the corners: there is room. @param {number} share  -1 to 1 */
const spread = (share) => (Math.abs(share) < 1e-6 ? 0 : Math.sign(share) * Math.abs(share) ** 0.6);

/** An IPv6 address would not fit. @param {string} text */
const shorten = (text) => (text.length > 17 ? `${text.slice(0, 8)}…${text.slice(-8)}` : text);

/** 1 kB/s is 2 wide, 1 MB/s 5, 1 GB/s 8. @param {number} bytesPerSecond */
function thickness(bytesPerSecond) {
  if (bytesPerSecond <= 0) return 1;
  return Math.min(10, Math.max(1.5, Math.log10(bytesPerSecond) - 1));
}
