/** The tour of the gateway in README.md: its lines of shell and Python, run as they stand but for ports and places. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { encodeNpyHeader, parseDType } from "../../src/mod.ts";
import { SKIP_WITHOUT_PYTHON, VENV_PYTHON } from "../interop/python.ts";
import { Process, ROOT } from "../support/process.ts";

const NODE = join(ROOT, "node_modules", ".bin", "node");
const CLI = join(ROOT, "src", "cli", "main.ts");
const LOCAL = ["--host", "127.0.0.1", "--no-discovery"];

function blockAfter(heading: string): string[] {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const [, block = ""] = /```\n([\s\S]+?)```/.exec(readme.slice(readme.indexOf(heading))) ?? [];
  return block
    .split("\n")
    .map((line) => line.replace(/ +#.*$/, "").trim())
    .filter(Boolean);
}

/** The section's blocks of a language, as they stand. */
function blocksOf(heading: string, language: string): string[] {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const section = readme.slice(readme.indexOf(heading)).split(/^## /m)[1] ?? "";
  return [...section.matchAll(/^```(\w*)\n([\s\S]+?)^```$/gm)]
    .filter(([, name]) => name === language)
    .map(([, , text = ""]) => text);
}

/** The words of a line such as "asoc serve --out received". */
const wordsOf = (line = "") => line.split(" ").slice(1);

test("every line of the README's tour of the gateway works with real curl", async () => {
  const folder = mkdtempSync(join(tmpdir(), "asoc-readme-"));
  try {
    const lines = blockAfter("## Gateway");
    const [hub, peer, ...curls] = lines;
    assert.ok(curls.length >= 8 && curls.every((line) => line.startsWith("curl ")), lines.join("\n"));
    const digits = Float32Array.from({ length: 64 }, (_, index) => index / 7);
    const header = encodeNpyHeader({ dtype: parseDType("float32"), shape: [8, 8] });
    writeFileSync(join(folder, "digits.npy"), Buffer.concat([header, new Uint8Array(digits.buffer)]));
    const env = { ASOC_API_KEY: "9".repeat(32) + "a".repeat(32), HOME: folder };
    const start = (words: readonly string[], ...more: string[]) =>
      new Process([NODE, CLI, ...words, ...more, ...LOCAL, "--json"], { env, cwd: folder });
    await using serving = start(wordsOf(hub), "127.0.0.1:0", "--port", "0");
    const { port } = await serving.waitFor((event) => event.event === "ready");
    const { url } = await serving.waitFor((event) => event.event === "gateway");
    await using taking = start(wordsOf(peer), "--peers", `127.0.0.1:${port}`);
    await taking.waitFor((event) => event.event === "joined" || event.event === "peer");
    for (const line of curls) {
      const command = line.replace("http://127.0.0.1:8080", String(url));
      const isEndless = command.includes(" -N ");
      const { stdout, stderr, status } = spawnSync(
        "sh",
        ["-c", command.replace("curl ", `curl -sS -m ${isEndless ? 3 : 20} `)],
        {
          cwd: folder,
          encoding: "utf8",
        },
      );
      assert.equal(status, isEndless ? 28 : 0, `${line}\n${stderr}`); // 28: the time was up
      assert.doesNotMatch(stdout, /"status":[45]\d\d/, line);
      if (isEndless) assert.match(stdout, /^event: hello$/m, line);
      if (line.includes("--data-binary")) assert.match(stdout, /"ok":true.+"delivery":"verified"/, line);
    }
    if (!SKIP_WITHOUT_PYTHON) {
      const text = blocksOf("## Gateway", "python").join("").replaceAll("http://127.0.0.1:8080", String(url));
      assert.equal(text.trim().split("\n").length, 4);
      const { status, stderr } = spawnSync(VENV_PYTHON, ["-c", text], { encoding: "utf8" });
      assert.equal(status, 0, stderr);
      const reversed = await fetch(`${url}/v1/topics/reversed/latest.bin`);
      const rows = Array.from({ length: 8 }, (_, row) => [...digits.subarray(8 * row, 8 * row + 8)]);
      assert.deepEqual([...new Float32Array(await reversed.arrayBuffer())], rows.reverse().flat());
    }
    assert.deepEqual(readFileSync(join(folder, "latest.npy")), readFileSync(join(folder, "digits.npy")));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("the README's token opens a gateway to other machines, and nothing else does", async () => {
  const folder = mkdtempSync(join(tmpdir(), "asoc-readme-"));
  try {
    const [block = ""] = blocksOf("## Gateway", "").filter((text) => text.startsWith("asoc token"));
    const [token = "", serve = "", curl = ""] = block.split("\n").map((line) => line.replace(/ +#.*$/, ""));
    const env = { ASOC_API_KEY: "9".repeat(32) + "a".repeat(32), HOME: folder };
    await using making = new Process([NODE, CLI, ...wordsOf(token)], { env, cwd: folder });
    assert.equal(await making.exitWithin(), 0);
    const [TOKEN = ""] = /asoc_\w+/.exec(making.stdout) ?? [];
    // On loopback: the test opens no port to others.
    const words = wordsOf(serve).map((word) => (word === "0.0.0.0:8080" ? "127.0.0.1:0" : word));
    assert.ok(words.includes("127.0.0.1:0"), serve);
    await using serving = new Process([NODE, CLI, ...words, "--port", "0", ...LOCAL, "--json"], {
      env,
      cwd: folder,
    });
    const { url } = await serving.waitFor((event) => event.event === "gateway");
    const { port } = new URL(String(url));
    const run = (value: string) => {
      const command = curl
        .replace("gpu1:8080", `gpu1:${port}`)
        .replace("curl ", `curl -sS -m 20 --resolve gpu1:${port}:127.0.0.1 `);
      return spawnSync("sh", ["-c", command], {
        encoding: "utf8",
        env: { ...process.env, TOKEN: value },
      }).stdout;
    };
    assert.equal(run(TOKEN), '{"peers":[]}');
    assert.match(run(`${TOKEN}x`), /"code":"GATEWAY_UNAUTHORIZED"/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
