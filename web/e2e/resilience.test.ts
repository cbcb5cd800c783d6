/** What goes wrong in the world: the server dies, the token ends, the session is revoked. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Browser } from 'playwright-core';
import { launch } from './browser.ts';
import { TestNode } from './node.ts';
import { png } from './png.ts';
import { account, browse, connection, PASSWORD, room, say, sees, texts, write } from './people.ts';

let node: TestNode;
let browser: Browser;

beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
});
afterEach(async () => {
  await node?.remove();
});

describe('a server that is killed and comes back', () => {
  beforeEach(async () => {
    node = await TestNode.start();
  });

  it('loses nothing and doubles nothing of what two people write meanwhile', async () => {
    const [ada, bo] = [await account(node, 'ada'), await account(node, 'bo')];
    const id = await room(ada, 'Storm', bo);
    ada.stop();
    bo.stop();
    const one = await browse(browser, node, 'ada', `/rooms/${id}`);
    const two = await browse(browser, node, 'bo', `/rooms/${id}`);
    await write(one.page, 'before the storm');
    await sees(two.page, 'before the storm');
    await one.page.locator('.composer textarea').pressSequentially('half of a sen');
    await node.down('SIGKILL');
    await one.page.locator('.composer textarea').pressSequentially('tence');
    await one.page.getByText('No connection.').waitFor();
    await one.page.keyboard.press('Enter');
    await write(one.page, 'second, in the dark');
    await write(two.page, 'me too');
    expect(await one.page.locator('.bubble[data-state="pending"]').count()).toBe(2);
    await two.page.locator('input[type=file]').setInputFiles({ name: 'clouds.txt', mimeType: 'text/plain', buffer: Buffer.from('grey') });
    await two.page.getByRole('button', { name: 'Send' }).click();
    await two.page.locator('.bubble[data-state="uploading"]').waitFor();
    await node.up();
    for (const { page } of [one, two]) {
      await connection(page, 'online');
      for (const text of ['half of a sentence', 'second, in the dark', 'me too']) await sees(page, text);
      await page.getByText('No connection.').waitFor({ state: 'detached' });
      await page.locator('.bubble[data-state="stored"]', { hasText: 'clouds.txt' }).waitFor();
    }
    const [left, right] = [await texts(one.page), await texts(two.page)];
    expect(left).toEqual(right);
    expect(left.filter((text) => text !== 'me too')).toEqual(['before the storm', 'half of a sentence', 'second, in the dark']);
    expect(left.length).toBe(4);
    await Promise.all([one.close(), two.close()]);
  });

  it('sends after a reload what was written while it was away', async () => {
    const ada = await account(node, 'ada');
    const id = await room(ada, 'Reload');
    ada.stop();
    const { page, close } = await browse(browser, node, 'ada', `/rooms/${id}`);
    await connection(page, 'online');
    // The page survives on its own assets: the reload happens once the server is back.
    await node.down('SIGKILL');
    await connection(page, 'offline');
    await write(page, 'kept in the outbox');
    await page.locator('.bubble[data-state="pending"]').waitFor();
    await node.up();
    await page.reload();
    await sees(page, 'kept in the outbox');
    expect(await texts(page)).toEqual(['kept in the outbox']);
    await close();
  });

  it('keeps two rooms in sync in a script of 30 lines', async () => {
    const ada = await account(node, 'ada');
    const rooms = [await room(ada, 'One'), await room(ada, 'Two')];
    const script = join(import.meta.dirname, '../src/client/examples/two-rooms.mjs');
    const child = spawn(process.execPath, [script, node.url, 'ada', PASSWORD, ...rooms], { stdio: ['pipe', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (chunk) => (output += String(chunk)));
    const lines = () => output.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line) as { room: string; seq: number; text: string });
    // What is said before the script is there is history to it, not news.
    let n = 0;
    while (lines().length === 0) for (const id of rooms) await say(ada, id, `warm-up ${(n += 1)}`);
    for (const id of rooms) await say(ada, id, 'first');
    await node.down('SIGKILL');
    child.stdin.write('from the script\n');
    for (const id of rooms) ada.send(id, { content: 'second' });
    await node.up();
    await expect.poll(() => lines().filter(({ text }) => text === 'second' || text === 'from the script').length, { timeout: 20_000 }).toBe(4);
    for (const id of rooms) {
      const seqs = lines().filter((line) => line.room === id).map(({ seq }) => seq);
      expect(seqs).toEqual(seqs.map((_, n) => (seqs[0] ?? 0) + n));
    }
    child.kill();
    ada.stop();
  });
});

describe('a session', () => {
  beforeEach(async () => {
    // Tokens end within seconds here; the pages must not notice.
    node = await TestNode.start({ NATTER_AUTH_TOKEN_LIFETIME: '4s' });
  });

  it('outlives many tokens', async () => {
    const ada = await account(node, 'ada');
    const id = await room(ada, 'Patience');
    ada.stop();
    const { page, problems, close } = await browse(browser, node, 'ada', `/rooms/${id}`);
    const renewals: string[] = [];
    page.on('response', (response) => response.url().endsWith('/refresh-token') && renewals.push(String(response.status())));
    await expect.poll(() => renewals.length, { timeout: 20_000 }).toBeGreaterThan(3);
    await write(page, 'still here');
    await sees(page, 'still here');
    await page.reload();
    await sees(page, 'still here');
    expect(new Set(renewals)).toEqual(new Set(['200']));
    expect(problems).toEqual([]);
    await close();
  });

  it('shows pictures whose links have ended', async () => {
    const ada = await account(node, 'ada');
    const id = await room(ada, 'Gallery');
    ada.send(id, { content: '', file: new File([new Uint8Array(png(300, 200))], 'roof.png', { type: 'image/png' }) });
    await expect.poll(() => ada.outbox.size).toBe(0);
    ada.stop();
    const { page, close } = await browse(browser, node, 'ada', `/rooms/${id}`);
    await page.locator('.bubble img').waitFor();
    const path = await page.locator('.bubble img').getAttribute('src');
    await expect.poll(async () => (await fetch(node.url + path)).ok, { timeout: 30_000, interval: 500 }).toBe(false);
    await page.getByRole('button', { name: 'Open photo roof.png' }).click();
    const photo = page.getByRole('dialog', { name: 'Photo' }).locator('img');
    await expect.poll(() => photo.evaluate((image: HTMLImageElement) => image.naturalWidth), { timeout: 10_000 }).toBe(300);
    await close();
  });

  it('that is revoked elsewhere asks to log in, and goes on where it was', async () => {
    const ada = await account(node, 'ada');
    const id = await room(ada, 'Back again');
    const { page, close } = await browse(browser, node, 'ada', `/rooms/${id}`);
    await connection(page, 'online');
    await page.locator('.composer textarea').fill('unfinished');
    await ada.api.logOutEverywhere();
    await page.getByText(/Your session has ended/).waitFor();
    await page.locator('#username').fill('ada');
    await page.locator('#password').fill(PASSWORD);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Back again', exact: true }).waitFor();
    expect(await page.locator('.composer textarea').inputValue()).toBe('unfinished');
    await close();
    ada.stop();
  });
});
