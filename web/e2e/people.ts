/** People for the tests: accounts and rooms made over the API, and what one does on the screen. */
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { io } from 'socket.io-client';
import { type Message, NatterClient } from '../src/client/index.ts';
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

/** Sends under way at once while a room is filled. */
const PIPELINED = 200;

/** Stores `count` messages, in seconds also when they are tens of thousands; their ids, in order. */
export async function fill(node: TestNode, author: NatterClient, chat_room_id: string, count: number, text: (n: number) => string): Promise<string[]> {
  const socket = io(node.url, { transports: ['websocket'], auth: { token: author.tokens.current } });
  await new Promise((resolve) => socket.once('ready', resolve));
  const ids: string[] = [];
  const send = async (n: number): Promise<void> => {
    const answer = (await socket.timeout(30_000).emitWithAck('chat', { chat_room_id, content: text(n), message_type: 'text' })) as
      | { ok: true; message: Message }
      | { ok: false; error: { detail: string } };
    if (!answer.ok) throw new Error(answer.error.detail);
    ids[n - 1] = answer.message.id;
  };
  let next = 1;
  const lane = async () => {
    while (next <= count) await send(next++);
  };
  await Promise.all(Array.from({ length: PIPELINED }, lane)).finally(() => socket.close());
  return ids;
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

/** The texts of all messages of the room in the page, gathered on a way from its end to its beginning. */
export function wholeRoom(page: Page): Promise<string[]> {
  return page.evaluate(async () => {
    const scroller = document.querySelector('.scroller') as HTMLElement;
    const seen = new Set<string>();
    let found: string[] = [];
    scroller.scrollTo(0, scroller.scrollHeight);
    for (;;) {
      for (let n = 0; n < 3; n += 1) await new Promise(requestAnimationFrame);
      const news = [...document.querySelectorAll<HTMLElement>('[data-index]:not([data-index="0"])')].filter(({ dataset }) => !seen.has(dataset['key'] ?? ''));
      for (const { dataset } of news) seen.add(dataset['key'] ?? '');
      found = [...news.map((row) => (row.querySelector('.text') as HTMLElement | null)?.innerText ?? ''), ...found];
      // Nothing is above, neither in the page nor on its way.
      if (scroller.scrollTop === 0 && document.querySelector('.head h2')) return found;
      scroller.scrollBy(0, -scroller.clientHeight / 2);
    }
  });
}

/** Waits until a message with this text is shown as stored. */
export async function sees(page: Page, text: string): Promise<void> {
  await page.locator('.bubble[data-state="stored"]', { hasText: text }).first().waitFor();
}

/** Waits for the state of the connection that the page tells. */
export async function connection(page: Page, kind: string): Promise<void> {
  await page.locator(`[data-connection="${kind}"]`).waitFor({ state: 'attached', timeout: 20_000 });
}
