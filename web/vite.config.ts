import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

const NODE = process.env['NATTER_URL'] ?? 'http://127.0.0.1:8080';
/** Everything that the server answers itself, for `npm run dev` in front of a running node. */
const SERVER_PATHS =
  '^/(socket\\.io|signup|token|refresh-token|users|user|chat-rooms|chat-room|search-chat-rooms|chat-room-details|delete-chat-room|join-request|join-request-details|handle-join-request|pv-chat-room|rooms-online-users|pv-online-users|admin|media)([/?].*)?$';

/** What the server sends as well: the build is tried under the same policy. */
const CSP =
  "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self' ws: wss:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

export default defineConfig({
  plugins: [svelte()],
  build: { target: 'es2022', cssTarget: ['chrome123', 'firefox120', 'safari17.5'], assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: { proxy: { [SERVER_PATHS]: { target: NODE, ws: true } } },
  preview: { headers: { 'content-security-policy': CSP } },
  test: { include: ['src/**/*.test.ts'], testTimeout: 15_000 },
});
