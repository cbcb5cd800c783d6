/** A server that is killed again and again, at moments that nobody chose, while people type and send. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Browser, Page } from 'playwright-core';
import type { NatterClient } from '../src/client/index.ts';
import { launch } from './browser.ts';
import { TestNode } from './node.ts';
import { account, browse, connection, room, until, wholeRoom } from './people.ts';

const RESTARTS = 5;
/** Another run of the same dice: `SEED=... npm run e2e -- restarts`. */
const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000);

/** Numbers between 0 and 1 that the seed decides (mulberry32). */
function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

let node: TestNode;
let browser: Browser;

beforeAll(async () => {
  // Tokens are renewed in the middle of it; a stall of some seconds does not end them.
  [node, browser] = await Promise.all([TestNode.start({ NATTER_AUTH_TOKEN_LIFETIME: '15s' }), launch()]);
});
afterAll(async () => {
  await browser?.close();
  await node?.remove();
});

/** Types and sends until told to stop: `name 1`, `name 2` ... Gives what was sent. */
async function talk(page: Page, name: string, chance: () => number, goesOn: () => boolean): Promise<string[]> {
  const sent: string[] = [];
  const area = page.locator('.composer textarea');
  while (goesOn()) {
    const text = `${name} ${sent.length + 1}`;
    await area.pressSequentially(text, { delay: Math.floor(chance() * 25) });
    await area.press('Enter');
    sent.push(text);
    await page.waitForTimeout(chance() * 250);
  }
  return sent;
}

it('loses and doubles nothing, and tells when it is away', async () => {
  console.info(`SEED=${SEED}`);
  const chance = dice(SEED);
  const pause = (most: number) => new Promise((resolve) => setTimeout(resolve, chance() * most));
  const [ada, bo, cy] = [await account(node, 'ada'), await account(node, 'bo'), await account(node, 'cy')];
  const id = await room(ada, 'Storms', bo, cy);
  ada.stop();
  bo.stop();
  const pages = await Promise.all(['ada', 'bo'].map((name) => browse(browser, node, name, `/rooms/${id}`)));
  for (const { page } of pages) await connection(page, 'online');

  let goesOn = true;
  const said = Promise.all([
    ...pages.map(({ page }, n) => talk(page, `page${n}`, dice(SEED + n + 1), () => goesOn)),
    chatter(cy, id, dice(SEED + 9), () => goesOn),
  ]);
  for (let n = 0; n < RESTARTS; n += 1) {
    await pause(1_500);
    await node.down('SIGKILL');
    for (const { page } of pages) await page.getByText('No connection.').waitFor();
    await pause(1_000);
    await node.up();
    for (const { page } of pages) {
      await connection(page, 'online');
      await page.getByText('No connection.').waitFor({ state: 'detached' });
    }
  }
  goesOn = false;
  const sent = (await said).flat();

  await until(() => cy.outbox.size === 0);
  for (const { page } of pages) await expect.poll(() => page.locator('.bubble:not([data-state="stored"])').count(), { timeout: 20_000 }).toBe(0);
  const stored = (await cy.api.history(id, { limit: 500 })).map(({ content }) => content);
  expect([...stored].sort()).toEqual([...sent].sort());
  for (const name of ['page0', 'page1', 'script']) {
    const own = stored.filter((text) => text.startsWith(`${name} `));
    expect(own).toEqual(own.map((_, n) => `${name} ${n + 1}`));
  }
  for (const { page, problems } of pages) {
    await expect.poll(() => wholeRoom(page)).toEqual(stored);
    expect(problems).toEqual([]);
  }
  cy.stop();
  await Promise.all(pages.map(({ close }) => close()));
}, 120_000);

/** The same with the library alone, faster than anybody types. */
async function chatter(client: NatterClient, id: string, chance: () => number, goesOn: () => boolean): Promise<string[]> {
  const sent: string[] = [];
  while (goesOn()) {
    const content = `script ${sent.length + 1}`;
    client.send(id, { content });
    sent.push(content);
    await new Promise((resolve) => setTimeout(resolve, 50 + chance() * 300));
  }
  return sent;
}
