/** The dashboard: files beside this one, given out as they are. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { GatewayError } from "../errors.ts";
import { type GatewayApp, pathText } from "../http.ts";

const FOLDER = new URL("../dashboard/", import.meta.url);
const TYPES: Readonly<Record<string, string>> = {
  css: "text/css; charset=utf-8",
  html: "text/html; charset=utf-8",
  ico: "image/x-icon",
  js: "text/javascript; charset=utf-8",
  json: "application/json",
  png: "image/png",
  svg: "image/svg+xml",
  txt: "text/plain; charset=utf-8",
  woff2: "font/woff2",
};

export function addDashboardRoutes(app: GatewayApp): void {
  app.get("/", () => file("index.html"));
  app.get("/assets/:name{.+}", (c) => {
    const name = pathText(c, "name");
    // Plain names only: nothing that could lead out of the folder.
    if (!/^[\w-][\w.-]*(\/[\w-][\w.-]*)*$/.test(name)) throw notFound();
    return file(`assets/${name}`);
  });
}

async function file(path: string): Promise<Response> {
  const type = TYPES[path.slice(path.lastIndexOf(".") + 1)];
  if (type === undefined) throw notFound();
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = new Uint8Array(await readFile(fileURLToPath(new URL(path, FOLDER))));
  } catch {
    throw notFound();
  }
  return new Response(bytes, { headers: { "content-type": type, "cache-control": "no-cache" } });
}

function notFound(): GatewayError {
  return new GatewayError(404, "GATEWAY_NOT_FOUND", "There is no such page");
}
