/** The OpenAPI document, and the same as a page that needs nothing from elsewhere. */
import { VERSION } from "../../src/mod.ts";
import type { GatewayApp } from "../http.ts";
import { jsonResponse } from "../http.ts";
import type { GatewayState } from "../state.ts";

type Document = ReturnType<GatewayApp["getOpenAPI31Document"]>;

export function addDocsRoutes(app: GatewayApp, _state: GatewayState): void {
  app.openAPIRegistry.registerComponent("securitySchemes", "bearer", { type: "http", scheme: "bearer" });
  let made: { document: Document; page: string } | undefined;
  const get = () => {
    if (!made) {
      const document = app.getOpenAPI31Document({
        openapi: "3.1.0",
        info: {
          title: "ASoc gateway",
          version: VERSION,
          description: "The tensor traffic of an ASoc node over HTTP (RFC-0300).",
          license: { name: "MIT" },
        },
        servers: [{ url: "/" }],
      });
      made = { document, page: pageOf(document) };
    }
    return made;
  };
  app.get("/v1/openapi.json", () => jsonResponse(get().document));
  app.get(
    "/docs",
    () => new Response(get().page, { headers: { "content-type": "text/html; charset=utf-8" } }),
  );
  app.get(
    "/docs/style.css",
    () => new Response(STYLE, { headers: { "content-type": "text/css; charset=utf-8" } }),
  );
}

const STYLE = `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
code{font-family:ui-monospace,monospace}
details{border:1px solid color-mix(in srgb,currentColor 25%,transparent);border-radius:.5rem;margin:.5rem 0;padding:.5rem 1rem}
summary{cursor:pointer}
summary b{display:inline-block;min-width:4rem}
table{border-collapse:collapse}td,th{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top}
pre{overflow:auto}`;

interface Operation {
  readonly summary?: string;
  readonly description?: string;
  readonly tags?: readonly string[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content?: Readonly<Record<string, unknown>> };
  readonly responses?: Readonly<Record<string, { readonly content?: Readonly<Record<string, unknown>> }>>;
}
interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly description?: string;
  readonly schema?: {
    readonly type?: string;
    readonly description?: string;
    readonly enum?: readonly string[];
  };
}

function pageOf(document: Document): string {
  const byTag = new Map<string, string[]>();
  for (const [path, item] of Object.entries(document.paths ?? {})) {
    for (const [method, value] of Object.entries(item ?? {})) {
      const operation = value as Operation; // we have described it ourselves
      const tag = operation.tags?.[0] ?? "other";
      byTag.set(tag, [...(byTag.get(tag) ?? []), operationText(method, path, operation)]);
    }
  }
  const sections = [...byTag].map(([tag, texts]) => `<h2>${escaped(tag)}</h2>\n${texts.join("\n")}`);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>ASoc gateway</title><link rel="stylesheet" href="/docs/style.css"></head>
<body><main><h1>ASoc gateway</h1>
<p>${escaped(document.info.description ?? "")} The same for programs: <a href="/v1/openapi.json">/v1/openapi.json</a>.</p>
${sections.join("\n")}
</main></body></html>
`;
}

function operationText(method: string, path: string, operation: Operation): string {
  const { summary = "", description, parameters = [], requestBody, responses = {} } = operation;
  const rows = parameters.map(({ name, in: place, required, description: own, schema }) => {
    const what = own ?? schema?.description ?? schema?.enum?.join(", ") ?? schema?.type ?? "";
    return `<tr><td><code>${escaped(name)}</code></td><td>${escaped(place)}${required ? ", required" : ""}</td><td>${escaped(what)}</td></tr>`;
  });
  const body = Object.keys(requestBody?.content ?? {});
  const answers = Object.entries(responses).map(
    ([status, { content }]) =>
      `<tr><td>${escaped(status)}</td><td>${Object.keys(content ?? {})
        .map((type) => `<code>${escaped(type)}</code>`)
        .join(", ")}</td></tr>`,
  );
  return `<details><summary><b>${escaped(method.toUpperCase())}</b> <code>${escaped(path)}</code> ${escaped(summary)}</summary>
${description === undefined ? "" : `<p>${escaped(description)}</p>`}
${rows.length === 0 ? "" : `<h3>Parameters</h3><table>${rows.join("")}</table>`}
${body.length === 0 ? "" : `<h3>Body</h3><p>${body.map((type) => `<code>${escaped(type)}</code>`).join(", ")}</p>`}
<h3>Answers</h3><table>${answers.join("")}</table>
</details>`;
}

function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
