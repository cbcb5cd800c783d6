/** People for the tests: accounts and rooms made over the API, and what one does on the screen. */
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { NatterClient } from '../src/client/index.ts';
import { person } from './browser.ts';
import type { TestNode } from './node.ts';

export const PASSWORD = 'correct horse battery';

/** A signed-in client without a browser; `stop` it in the end. */
export async function account(node: TestNode, username: string): Promise<NatterClient> {
  const client = new NatterClient({ url: node.url });
  const name = username.toLowerCase().replace(/[^a-z0-9]/g, '') || 'fatima';
  await client.signUp(`${name}@example.com`, username, PASSWORD);
  await client.start();
  return client;
}

/** A room of `owner` with these members in it. */
export async function room(owner: NatterClient, name: string, ...members: NatterClient[]): Promise<string> {
  const id = await owner.createRoom(name);
  for (const member of members) {
    const request = await member.api.askToJoin(id);
    await owner.api.answerJoinRequest(request.id, true);
  }
  return id;
}

/** Sends these texts over one socket, in order, and waits until all are stored. */
export async function say(client: NatterClient, roomId: string, ...texts: string[]): Promise<void> {
  for (const content of texts) client.send(roomId, { content });
  await until(() => client.outbox.size === 0);
}

/** Waits until a condition holds; `expect.poll` is for tests alone. */
export async function until(condition: () => boolean, timeout = 60_000): Promise<void> {
  const end = Date.now() + timeout;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`still not: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A browser in which this person is signed in, at `path`. */
export async function browse(
  browser: Browser,
  node: TestNode,
  username: string,
  path = '/',
  options: BrowserContextOptions = {},
): Promise<{ page: Page; problems: string[]; close: () => Promise<void> }> {
  const { page, problems, context } = await person(browser, node.url, options);
  await page.goto(path);
  await logIn(page, username);
  return { page, problems, close: () => context.close() };
}

export async function logIn(page: Page, username: string): Promise<void> {
  await page.locator('#username').fill(username);
  await page.locator('#password').fill(PASSWORD);
  await page.keyboard.press('Enter');
  await page.locator('.shell').waitFor();
}

export async function signUp(page: Page, username: string): Promise<void> {
  await page.goto('/sign-up');
  await page.getByLabel('E-mail').fill(`${username}@example.com`);
  await page.getByLabel('Username').fill(username);
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await page.getByRole('button', { name: 'Create an account' }).click();
  await page.locator('.shell').waitFor();
}

/** Types a message and sends it. */
export async function write(page: Page, text: string): Promise<void> {
  await page.locator('.composer textarea').fill(text);
  await page.keyboard.press('Enter');
}

/** The texts of the messages in the page, from top to bottom. */
export function texts(page: Page): Promise<string[]> {
  return page.locator('.bubble .text').allInnerTexts();
}

/** Waits until a message with this text is shown as stored. */
export async function sees(page: Page, text: string): Promise<void> {
  await page.locator('.bubble[data-state="stored"]', { hasText: text }).first().waitFor();
}

/** Waits for the state of the connection that the page tells. */
export async function connection(page: Page, kind: string): Promise<void> {
  await page.locator(`[data-connection="${kind}"]`).waitFor({ state: 'attached', timeout: 20_000 });
}
