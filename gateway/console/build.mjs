// Builds dist/ from src/. With --check it only says whether dist/ is what src/ gives.
import { build } from "esbuild";
import { readFile, writeFile } from "node:fs/promises";

const check = process.argv.includes("--check");
const result = await build({
  entryPoints: [
    { in: "src/main.js", out: "console" },
    { in: "src/console.css", out: "console" },
  ],
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022"],
  charset: "utf8",
  legalComments: "none",
  outdir: "dist",
  write: false,
});
const files = result.outputFiles.map((file) => [file.path.split("/").pop(), Buffer.from(file.contents)]);
for (const name of ["index.html", "icon.svg"]) files.push([name, await readFile(`src/${name}`)]);
const bundled = ["preact", "@preact/signals", "@preact/signals-core", "htm"];
const licences = bundled.map(async (name) => `${name}\n\n${await readFile(`node_modules/${name}/LICENSE`, "utf8")}`);
files.push(["LICENSES.txt", Buffer.from((await Promise.all(licences)).join("\n\n"))]);

let stale = 0;
for (const [name, content] of files) {
  const path = `dist/${name}`;
  const old = await readFile(path).catch(() => null);
  if (old !== null && old.equals(content)) continue;
  stale += 1;
  if (check) console.error(`${path} is not what src/ gives; run npm run build`);
  else await writeFile(path, content);
  if (!check) console.log(`${path} ${content.length} B`);
}
process.exit(check && stale ? 1 : 0);
