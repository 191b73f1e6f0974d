/** What the dashboard's tests stand on: nodes that send all the time, and visits of their page by a browser. */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { Process, type RuntimeName } from "../support/process.ts";
import type { DashboardNodeArgument } from "./dashboard_node.ts";

export const HOST = "127.0.0.1";
const POLL_MS = 100;

/** A process of `dashboard_node.ts`. */
export class DashboardNode {
  readonly process: Process;
  readonly port: number;
  readonly url: string;
  readonly token: string;

  private constructor(process: Process, ready: Record<string, unknown>) {
    this.process = process;
    this.port = Number(ready.port);
    this.url = String(ready.url);
    this.token = String(ready.token);
  }

  static async start(
    runtime: RuntimeName,
    options: Partial<DashboardNodeArgument["options"]>,
    gateway: Omit<DashboardNodeArgument, "options"> = {},
  ): Promise<DashboardNode> {
    const shared = { apiKey: "a key for tests, of more than 128 bits", community: "lab", host: HOST };
    const argument: DashboardNodeArgument = {
      options: { ...shared, discovery: false, ...options },
      ...gateway,
    };
    const process = Process.script(runtime, "test/gateway/dashboard_node.ts", [JSON.stringify(argument)]);
    return new DashboardNode(process, await process.waitFor((event) => event.event === "ready"));
  }
}

/** A fresh profile with the page open, and what went wrong in it. */
export class Visit implements AsyncDisposable {
  readonly page: Page;
  /** Console errors and warnings, and what was thrown. */
  readonly faults: string[] = [];
  readonly requests: string[] = [];

  private constructor(page: Page) {
    this.page = page;
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type()))
        this.faults.push(`${message.text()} ${message.location().url}`);
    });
    page.on("pageerror", (error) => this.faults.push(String(error)));
    page.on("request", (request) => this.requests.push(request.url()));
  }

  static async open(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Visit> {
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
    const visit = new Visit(await context.newPage());
    await visit.page.goto(url);
    return visit;
  }

  async ready(): Promise<this> {
    await this.page.waitForSelector("html[data-ready]");
    return this;
  }

  /** A topic whose live view is shown. */
  async topic(name: string): Promise<void> {
    await this.page.click("#tab-topics");
    await this.page.click(`#topics-table tr[data-key="${name}"]`);
    await this.page.waitForSelector(".topic-view[data-seen]");
  }

  async textOf(selector: string): Promise<string> {
    return (await this.page.locator(selector).first().textContent()) ?? "";
  }

  /** Waits for an expression to be true in the page; Playwright's own way needs eval, which the page forbids. */
  async until(expression: string, timeoutMs = 30_000): Promise<void> {
    const endMs = performance.now() + timeoutMs;
    while (!(await this.page.evaluate(`Boolean(${expression})`))) {
      if (performance.now() > endMs) throw new Error(`${timeoutMs} ms passed before ${expression}`);
      await delay(POLL_MS);
    }
  }

  /** Nothing was wrong so far. */
  clean(): void {
    assert.deepEqual(this.faults, []);
    const { origin } = new URL(this.page.url());
    assert.deepEqual(
      this.requests.filter((url) => new URL(url).origin !== origin),
      [],
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.page.context().close();
  }
}

/** How many colours a canvas shows, of 4096. */
const COLOURS = `(canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const seen = new Set();
  for (let at = 0; at < data.length; at += 4)
    if (data[at + 3] > 0) seen.add(((data[at] >> 4) << 8) | ((data[at + 1] >> 4) << 4) | (data[at + 2] >> 4));
  return seen.size;
}`;

export const coloursOf = (page: Page, selector: string): Promise<number> =>
  page.evaluate(`(${COLOURS})(document.querySelector(${JSON.stringify(selector)}))`);
