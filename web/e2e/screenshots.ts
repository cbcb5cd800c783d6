/** Every screen, light and dark, on a phone and on a desk: `npm run screenshots` writes them to `screenshots/`. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Browser, Page } from 'playwright-core';
import { launch, person } from './browser.ts';
import { TestNode } from './node.ts';
import { logIn, until } from './people.ts';
import { type Scene, scene } from './scene.ts';

const FOLDER = process.env['SCREENSHOTS_DIR'] ?? join(import.meta.dirname, '../screenshots');
const SIZES = { 390: { width: 390, height: 844 }, 1440: { width: 1440, height: 900 } };

let node: TestNode;
let browser: Browser;
let town: Scene;

beforeAll(async () => {
  await rm(FOLDER, { recursive: true, force: true });
  await mkdir(FOLDER, { recursive: true });
  [node, browser] = await Promise.all([TestNode.start(), launch()]);
  town = await scene(node);
});
afterAll(async () => {
  town?.stop();
  await browser?.close();
  await node?.remove();
});

const all = (['light', 'dark'] as const).flatMap((scheme) => ([390, 1440] as const).map((width) => ({ scheme, width })));

it.each(all)('in $scheme colours, $width pixels wide', async ({ scheme, width }) => {
  const isPhone = width === 390;
  const options = { colorScheme: scheme, viewport: SIZES[width], deviceScaleFactor: isPhone ? 2 : 1, hasTouch: isPhone, isMobile: isPhone };
  const { page, context } = await person(browser, node.url, { ...options, reducedMotion: 'reduce' });
  const shot = async (name: string, of: Page = page) => {
    await of.waitForLoadState('networkidle');
    await of.evaluate(() => Promise.all(document.getAnimations().map((animation) => animation.finished.catch(() => null))));
    await of.screenshot({ path: join(FOLDER, `${name}-${scheme}-${width}.png`) });
  };

  await page.goto('/sign-up');
  await shot('sign-up');
  await page.goto('/log-in');
  await shot('log-in');
  await logIn(page, town.owner);
  await page.locator('.item').first().waitFor();
  await shot('home');

  await present(town);
  await page.goto(`/rooms/${town.room}`);
  await page.locator('.bubble img').first().waitFor();
  town.people['dee']?.typing(town.room);
  await page.locator('.conversation .typing .dots').waitFor();
  await shot('conversation');
  await page.getByRole('button', { name: /Details of the room/ }).click();
  await page.locator('.panel .asked').first().waitFor();
  await shot('details');
  await page.locator('.panel').getByRole('button', { name: 'Close' }).click();
  await page.getByRole('button', { name: 'Emoji' }).click();
  await shot('emoji');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: /Open photo/ }).click();
  await shot('viewer');
  await page.keyboard.press('Escape');

  await page.goto('/');
  await page.getByRole('button', { name: 'New conversation' }).first().click();
  await shot('new');
  await page.goto(`/rooms/${town.foreign}`);
  await page.getByRole('button', { name: 'Ask to join' }).waitFor();
  await shot('join');
  await page.goto('/settings');
  await shot('settings');
  for (const section of ['users', 'rooms', 'join-requests', 'sessions']) {
    await page.goto(`/manage/${section}`);
    await page.locator('tbody tr').first().waitFor();
    await shot(`manage-${section}`);
  }
  await arabic(`${scheme}-${width}`, options);
  await offline(page, `${scheme}-${width}`);
  await context.close();
});

/** Everybody opens the room, so that it is as lively as it would be. */
async function present({ people, room }: Scene): Promise<void> {
  for (const name of ['Bo Lindqvist', 'Cyrus', 'dee']) {
    const client = people[name];
    await client?.open(room);
    client?.markRead(room, client.rooms.get(room)?.lastMessage?.seq ?? 0);
  }
  await until(() => people['ada']?.rooms.get(room)?.entry !== null);
}

async function arabic(suffix: string, options: object): Promise<void> {
  const { page, context } = await person(browser, node.url, { ...options, locale: 'ar', reducedMotion: 'reduce' });
  await page.goto(`/rooms/${town.room}`);
  await logIn(page, 'فاطمة');
  await page.locator('.bubble img').first().waitFor();
  await page.waitForLoadState('networkidle');
  await page.screenshot({ path: join(FOLDER, `arabic-${suffix}.png`) });
  await context.close();
}

async function offline(page: Page, suffix: string): Promise<void> {
  await page.goto(`/rooms/${town.room}`);
  await page.locator('.bubble img').first().waitFor();
  await page.context().setOffline(true);
  await page.getByText('No connection.').waitFor({ timeout: 40_000 });
  await page.locator('.composer textarea').fill('Writing in the tunnel, it will go out on the other side.');
  await page.getByRole('button', { name: 'Send' }).click();
  await expect
    .poll(() =>
      page.evaluate(() => {
        const bottom = document.querySelector('.bubble[data-state="pending"]')?.getBoundingClientRect().bottom ?? Infinity;
        return bottom - (document.querySelector('.composer')?.getBoundingClientRect().top ?? 0);
      }),
    )
    .toBeLessThan(0);
  await page.screenshot({ path: join(FOLDER, `offline-${suffix}.png`) });
  // What was written for the picture does not reach the room.
  await page.evaluate(() => {
    for (const key of Object.keys(localStorage)) if (key.startsWith('natter.outbox')) localStorage.removeItem(key);
  });
}
