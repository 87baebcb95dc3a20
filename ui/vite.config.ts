import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

// In development the page comes from Vite and the data from a server on 8080 (for example `python -m tests.fake_server`).
const plant = process.env.POWERFLOCK_URL ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: "../src/powerflock/api/static",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // the Content-Security-Policy allows no data: addresses
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/api": plant, "/healthz": plant, "/readyz": plant } },
});
