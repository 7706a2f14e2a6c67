// Builds the page into the package of ingest, which serves it. Files beside the page are named by their hash.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const BATCHYARD = process.env.BATCHYARD_URL ?? "http://127.0.0.1:8000";

/** Adds `licences.txt` with the licence of each package whose code is in the build. */
function licences(): Plugin {
  return {
    name: "licences",
    generateBundle(_options, bundle) {
      const packages = new Map<string, string>();
      for (const file of Object.values(bundle)) {
        for (const id of file.type === "chunk" ? file.moduleIds : []) {
          const found = /^(.*\/node_modules\/((?:@[^/]+\/)?[^/]+))\//.exec(id);
          if (found?.[1] && found[2]) packages.set(found[2], found[1]);
        }
      }
      const texts = [...packages].sort().map(([name, folder]) => `${name}\n\n${licenceOf(folder)}`);
      this.emitFile({ type: "asset", fileName: "licences.txt", source: texts.join("\n\n----\n\n") });
    },
  };
}

function licenceOf(folder: string): string {
  for (const name of ["LICENSE", "LICENSE.md", "license", "license.md"]) {
    try {
      return readFileSync(join(folder, name), "utf-8").trim();
    } catch {
      // The next name may be that of the file.
    }
  }
  const { license, author } = JSON.parse(readFileSync(join(folder, "package.json"), "utf-8"));
  return `Licence: ${license}. Author: ${typeof author === "string" ? author : (author?.name ?? "not named")}.`;
}

/** Writes a copy of each file compressed by gzip and by Brotli beside it, so that the server compresses nothing. */
function compressed(): Plugin {
  return {
    name: "compressed",
    writeBundle(options, bundle) {
      for (const name of Object.keys(bundle)) {
        const path = join(options.dir ?? dirname(options.file ?? "."), name);
        const content = readFileSync(path);
        writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }));
        writeFileSync(`${path}.br`, brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
      }
    },
  };
}

export default defineConfig({
  base: "/assets/",
  plugins: [react(), licences(), compressed()],
  build: {
    outDir: "../services/ingest/http/assets",
    emptyOutDir: true,
    assetsDir: "",
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    modulePreload: false,
    sourcemap: false,
    target: "es2022",
    rolldownOptions: { checks: { pluginTimings: false } },
  },
  server: {
    proxy: {
      "/api": {
        target: BATCHYARD,
        ws: true,
        changeOrigin: true,
        headers: { origin: BATCHYARD },
      },
    },
  },
});
