/** A room with 50,000 messages: virtualised, and steady under the eyes of who reads in it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Browser, Page } from 'playwright-core';
import type { NatterClient } from '../src/client/index.ts';
import { launch } from './browser.ts';
import { TestNode } from './node.ts';
import { account, browse, fill, room, say, sees } from './people.ts';

const COUNT = 50_000;
/** So many of them are loaded by scrolling. */
const LOADED = 2_000;
/** Rows in the page at most: a window of 800 pixels, 600 beyond it on each side, the lowest row 30 high. */
const MOST_ROWS = 80;
/** Elements of the whole page at most; with 50,000 rows there would be a million. */
const MOST_ELEMENTS = 3_000;

let node: TestNode;
let browser: Browser;
let ada: NatterClient;
let bo: NatterClient;
let id: string;
/** The id of the room's first message. */
let oldest: string;
/** What bo has said since, and the newest text: a second try finds what the first has left. */
let news = 0;
let newest = `message ${COUNT}`;

/** One to five lines, so that no two rows need be of one height. */
const text = (n: number) => `message ${n}` + '\nand one line more'.repeat(n % 13 === 0 ? 4 : n % 5 === 0 ? 1 : 0);

beforeAll(async () => {
  [node, browser] = await Promise.all([TestNode.start(), launch()]);
  [ada, bo] = [await account(node, 'ada'), await account(node, 'bo')];
  id = await room(ada, 'Everything', bo);
  // Nobody else listens while it is filled.
  ada.stop();
  bo.stop();
  [oldest = ''] = await fill(node, ada, id, COUNT, text);
  await bo.start();
}, 240_000);
afterAll(async () => {
  bo?.stop();
  await browser?.close();
  await node?.remove();
});

function tell(): void {
  news += 1;
  newest = `news ${news}`;
  bo.send(id, { content: newest });
}

/** The numbers of the messages in the page that it was filled with, from top to bottom. */
async function numbers(page: Page): Promise<number[]> {
  const all = await page.locator('.bubble .text').allInnerTexts();
  return all.map((line) => Number(/^message (\d+)/.exec(line)?.[1])).filter((n) => !Number.isNaN(n));
}

/** That the page holds a window, not the room; how many rows that is. */
async function isBounded(page: Page): Promise<void> {
  const [rows, elements] = await page.evaluate(() => [document.querySelectorAll('[data-index]').length, document.querySelectorAll('*').length]);
  expect(rows).toBeGreaterThan(5);
  expect(rows).toBeLessThan(MOST_ROWS);
  expect(elements).toBeLessThan(MOST_ELEMENTS);
}

/** Where the first row that is wholly in view stands, and which it is. */
function reading(page: Page): Promise<{ message: string; top: number }> {
  return page.evaluate(() => {
    const edge = document.querySelector('.scroller')?.getBoundingClientRect().top ?? 0;
    for (const row of document.querySelectorAll<HTMLElement>('[data-message]')) {
      const { top } = row.getBoundingClientRect();
      if (top >= edge) return { message: row.dataset['message'] ?? '', top };
    }
    throw new Error('no message is in view');
  });
}

function topOf(page: Page, message: string): Promise<number> {
  return page.locator(`[data-message="${message}"]`).evaluate((row) => row.getBoundingClientRect().top);
}

/**
 * Scrolls up `times` times by `pixels`, and notes by how much each time the row that was being read moved
 * otherwise than by these pixels: through pages that come in above, and heights that turn out different.
 */
function jolts(page: Page, times: number, pixels: number): Promise<number[]> {
  return page.evaluate(
    async ([times, pixels]) => {
      const scroller = document.querySelector('.scroller') as HTMLElement;
      // What a frame shows is known behind it: in front of it, rows that are new have not been measured.
      const frame = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
      const found: number[] = [];
      for (let n = 0; n < times; n += 1) {
        // At the upper edge there is nowhere to go before the next page is there.
        while (scroller.scrollTop < pixels) await frame();
        const edge = scroller.getBoundingClientRect().top;
        const row = [...document.querySelectorAll<HTMLElement>('[data-message]')].find((one) => one.getBoundingClientRect().top >= edge);
        const before = row?.getBoundingClientRect().top ?? 0;
        scroller.scrollBy(0, -pixels);
        let jolt = Number.NaN;
        for (let m = 0; m < 20 && !(Math.abs(jolt) < 2); m += 1) {
          await frame();
          const after = document.querySelector(`[data-message="${row?.dataset['message']}"]`)?.getBoundingClientRect().top ?? Number.NaN;
          jolt = after - before - pixels;
        }
        if (!(Math.abs(jolt) < 2)) found.push(jolt);
      }
      return found;
    },
    [times, pixels] as const,
  );
}

describe('a room with 50,000 messages', () => {
  it('holds a window of it in the page, wherever one is, and keeps the place', async () => {
    const { page, problems, close } = await browse(browser, node, 'ada', `/rooms/${id}`);
    await sees(page, newest);
    await isBounded(page);
    const shown = await numbers(page);
    expect(shown).toEqual(shown.map((_, n) => COUNT + 1 - shown.length + n));

    expect(await jolts(page, 12, 400)).toEqual([]);
    await isBounded(page);

    // Far up: thousands are loaded then, and still only a window of them is in the page.
    const loaded = () => page.evaluate(() => document.querySelector('.all')?.clientHeight ?? 0);
    const above = () => numbers(page).then((all) => all[0] ?? COUNT);
    while ((await above()) > COUNT - LOADED) {
      const before = await loaded();
      await page.evaluate(() => document.querySelector('.scroller')?.scrollTo(0, 0));
      await expect.poll(loaded, { interval: 5, timeout: 20_000 }).toBeGreaterThan(before);
      await page.evaluate(() => document.querySelector('.scroller')?.scrollTo(0, 0));
    }
    await isBounded(page);
    expect(await loaded()).toBeGreaterThan(LOADED * 30);
    const first = await above();

    // Down in leaps to places that were never drawn: each has its messages, in order.
    for (const part of [0.2, 0.5, 0.8]) {
      await page.evaluate((part) => {
        const scroller = document.querySelector('.scroller');
        scroller?.scrollTo(0, scroller.scrollHeight * part);
      }, part);
      await expect.poll(above).toBeGreaterThan(first + (COUNT - first) * (part - 0.2));
      const shown = await numbers(page);
      expect(shown).toEqual(shown.map((_, n) => (shown[0] ?? 0) + n));
      await isBounded(page);
    }

    // What arrives moves nothing that is being read, and is counted.
    const { message, top } = await reading(page);
    const until = news + 60;
    const talk = setInterval(() => news < until && tell(), 33);
    const moved: number[] = [];
    while (news < until || bo.outbox.size > 0) {
      moved.push((await topOf(page, message)) - top);
      await isBounded(page);
    }
    clearInterval(talk);
    const latest = page.getByRole('button', { name: 'To the latest message' });
    await latest.getByText('60 new messages').waitFor();
    moved.push((await topOf(page, message)) - top);
    expect(moved.filter((by) => Math.abs(by) > 1)).toEqual([]);

    await latest.click();
    await sees(page, newest);
    // At the end one stays at the end.
    for (let n = 0; n < 30; n += 1) tell();
    await sees(page, newest);
    await expect
      .poll(() => page.locator('.scroller').evaluate((one) => one.scrollHeight - one.scrollTop - one.clientHeight))
      .toBeLessThan(2);
    await isBounded(page);
    expect(problems).toEqual([]);
    await close();
  }, 240_000);

  it('opens at its oldest message by a link, and leads from there to the latest', async () => {
    const { page, problems, close } = await browse(browser, node, 'ada', `/rooms/${id}/messages/${oldest}`);
    await page.locator('.highlighted .text', { hasText: /^message 1$/ }).waitFor();
    await page.getByText('This is where Everything begins').waitFor();
    await isBounded(page);
    // What lies behind is loaded as one goes down, without a hole.
    const seen = new Set(await numbers(page));
    while (!seen.has(200)) {
      await page.evaluate(async () => {
        document.querySelector('.scroller')?.scrollBy(0, 500);
        await new Promise(requestAnimationFrame);
      });
      for (const n of await numbers(page)) seen.add(n);
    }
    expect(Array.from({ length: 200 }, (_, n) => n + 1).filter((n) => !seen.has(n))).toEqual([]);
    await say(bo, id, 'the last word');
    await page.getByRole('button', { name: 'To the latest message' }).click();
    await sees(page, 'the last word');
    await isBounded(page);
    expect(problems).toEqual([]);
    await close();
  }, 240_000);
});
