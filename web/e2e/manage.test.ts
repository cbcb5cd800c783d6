/** The administration pages, and that they are for administrators. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Browser } from 'playwright-core';
import { launch } from './browser.ts';
import { TestNode } from './node.ts';
import { browse } from './people.ts';
import { type Scene, scene } from './scene.ts';

let node: TestNode;
let browser: Browser;
let town: Scene;

beforeAll(async () => {
  [node, browser] = await Promise.all([TestNode.start(), launch()]);
  town = await scene(node);
});
afterAll(async () => {
  town?.stop();
  await browser?.close();
  await node?.remove();
});

it('manages users, rooms, requests and memberships', async () => {
  const { page, problems, close } = await browse(browser, node, town.owner);
  await page.getByRole('link', { name: 'Administration' }).click();
  const row = (text: string) => page.locator('tbody tr', { hasText: text });

  await page.getByRole('button', { name: 'New user' }).click();
  await page.getByLabel('Username').fill('dee');
  await page.getByLabel('E-mail').fill('newcomer@example.com');
  await page.getByLabel('Password').fill('a long enough sentence');
  await page.getByRole('button', { name: 'Create', exact: true }).click();
  // A failure is told where one is.
  await page.getByRole('dialog').getByText('This username is taken.').waitFor();
  await page.getByLabel('Username').fill('newcomer');
  await page.getByRole('button', { name: 'Create', exact: true }).click();
  await row('newcomer').getByRole('button', { name: 'Make administrator' }).click();
  await row('newcomer').getByText('Administrator', { exact: true }).waitFor();
  await row('newcomer').getByRole('button', { name: 'Take the role away' }).click();
  await row('newcomer').getByRole('button', { name: 'Make administrator' }).waitFor();
  await row('newcomer').getByRole('button', { name: 'Disable' }).click();
  await row('newcomer').getByText('disabled').waitFor();
  await row('newcomer').getByRole('button', { name: 'Enable' }).click();
  await row('newcomer').getByRole('button', { name: 'Disable' }).waitFor();
  await row('newcomer').getByRole('button', { name: 'Delete newcomer' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await row('newcomer').waitFor({ state: 'detached' });

  await page.getByRole('link', { name: 'Rooms', exact: true }).click();
  await row('Book club').getByRole('button', { name: 'Rename Book club' }).click();
  await page.getByLabel('Name of the room').fill('Reading circle');
  await page.getByRole('button', { name: 'Save' }).click();
  await row('Reading circle').waitFor();
  await page.locator('.item', { hasText: 'Reading circle' }).waitFor();
  await row('Release 0.4').getByRole('button', { name: 'Delete Release 0.4' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await row('Release 0.4').waitFor({ state: 'detached' });
  await page.locator('.item', { hasText: 'Release 0.4' }).waitFor({ state: 'detached' });

  await page.getByRole('link', { name: 'Requests', exact: true }).click();
  await row('Harbour café').filter({ hasText: 'Open' }).getByRole('button').click();
  await row('Harbour café').filter({ hasText: 'Open' }).waitFor({ state: 'detached' });

  await page.getByRole('link', { name: 'Memberships' }).click();
  const dee = row('Harbour café').filter({ hasText: 'dee' });
  await dee.getByRole('button').click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await dee.waitFor({ state: 'detached' });
  await expect.poll(() => town.people['dee']?.rooms.has(town.room)).toBe(false);
  expect(problems).toEqual([]);
  await close();
});

it('is closed to everyone else', async () => {
  const { page, close } = await browse(browser, node, 'Cyrus', '/manage/users');
  await page.getByText('This part is for administrators.').waitFor();
  expect(await page.getByRole('link', { name: 'Administration' }).count()).toBe(0);
  await close();
});
