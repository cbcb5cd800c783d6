/** Two people and the whole way from signing up to talking, in two browsers against a real node. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Browser, Page } from 'playwright-core';
import { launch, person } from './browser.ts';
import { TestNode } from './node.ts';
import { account, browse, connection, room, say, sees, signUp, texts, write } from './people.ts';
import { png } from './png.ts';

let node: TestNode;
let browser: Browser;

beforeAll(async () => {
  [node, browser] = await Promise.all([TestNode.start(), launch()]);
});
afterAll(async () => {
  await browser?.close();
  await node?.remove();
});

/** Whether all of the message with this text is between the head and the line to write in. */
async function isInView(page: Page, text: string): Promise<boolean> {
  const bubble = page.locator('.bubble', { hasText: text }).last();
  if ((await bubble.count()) === 0) return false;
  const [row, window] = await Promise.all([bubble.boundingBox(), page.locator('.scroller').boundingBox()]);
  return !!row && !!window && row.y >= window.y && row.y + row.height <= window.y + window.height;
}

describe('from signing up to talking', () => {
  it('lets two people meet in a room and chat both ways', async () => {
    const ada = await person(browser, node.url);
    const bo = await person(browser, node.url);
    await signUp(ada.page, 'ada');
    await ada.page.getByRole('button', { name: 'New conversation' }).first().click();
    await ada.page.getByLabel('Name of the room').fill('Tea');
    await ada.page.getByRole('button', { name: 'Make the room' }).click();
    await ada.page.getByRole('heading', { name: 'Tea', exact: true }).waitFor();
    // One writes at once.
    await expect.poll(() => ada.page.evaluate(() => document.activeElement?.tagName)).toBe('TEXTAREA');
    expect(await ada.page.title()).toBe('Tea · natter');
    const link = ada.page.url();

    await bo.page.goto('/sign-up');
    await bo.page.getByLabel('E-mail').fill('bo@example.com');
    await bo.page.getByLabel('Username').fill('ada');
    await bo.page.getByLabel('Password', { exact: true }).fill('é'.repeat(40));
    await bo.page.keyboard.press('Enter');
    await bo.page.getByText('That is too long: 72 letters at most').waitFor();
    await bo.page.getByLabel('Password', { exact: true }).fill('another sentence');
    await bo.page.keyboard.press('Enter');
    await bo.page.getByText('This username is taken.').waitFor();
    await expect.poll(() => bo.page.evaluate(() => document.activeElement?.id)).toBe('username');
    await signUp(bo.page, 'bo');
    await bo.page.getByRole('searchbox').fill(link);
    await bo.page.keyboard.press('Enter');
    await bo.page.getByLabel(/A few words to ada/).fill('May I?');
    await bo.page.getByRole('button', { name: 'Ask to join' }).click();
    await bo.page.getByText('You have asked to join').waitFor();
    await bo.page.reload();
    await bo.page.getByText('You have asked to join').waitFor();

    await ada.page.getByRole('button', { name: 'Review' }).click();
    await ada.page.getByText('May I?').waitFor();
    await ada.page.getByRole('button', { name: 'Refuse bo' }).click();
    await bo.page.getByText('Your request to join Tea was refused.').waitFor();
    await bo.page.getByRole('button', { name: 'Ask to join' }).click();
    await ada.page.getByRole('button', { name: 'Let in bo' }).click();

    await bo.page.getByRole('heading', { name: 'Tea', exact: true }).waitFor();
    await write(bo.page, 'Hello *Ada* <b>, see https://example.com/a?b=c');
    await sees(ada.page, 'Hello *Ada* <b>, see https://example.com/a?b=c');
    expect(await ada.page.locator('.text a').getAttribute('href')).toBe('https://example.com/a?b=c');
    await ada.page.locator('.composer textarea').pressSequentially('Hi');
    await bo.page.locator('.conversation .typing', { hasText: 'ada is typing' }).waitFor();
    await ada.page.keyboard.press('Shift+Enter');
    await ada.page.keyboard.type('Bo');
    await ada.page.keyboard.press('Enter');
    await sees(bo.page, 'Hi\nBo');
    await sees(ada.page, 'Hi\nBo');
    await ada.page.locator('.panel', { hasText: 'bo' }).waitFor();
    await ada.page.locator('.readers').waitFor();
    expect([...ada.problems, ...bo.problems]).toEqual([]);
    await Promise.all([ada.context.close(), bo.context.close()]);
  });

  it('sends a picture and a file, with thumbnail, viewer and caption', async () => {
    const [cy, dee] = [await account(node, 'cy'), await account(node, 'dee')];
    const id = await room(cy, 'Pictures', dee);
    const one = await browse(browser, node, 'cy', `/rooms/${id}`);
    const two = await browse(browser, node, 'dee', `/rooms/${id}`);
    await one.page.locator('input[type=file]').setInputFiles([
      { name: 'sunset.png', mimeType: 'image/png', buffer: png(640, 400) },
      { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('some notes\n'.repeat(200)) },
    ]);
    await one.page.getByText('sunset.png').waitFor();
    await write(one.page, 'From the roof');
    await two.page.locator('.bubble', { hasText: 'From the roof' }).locator('img').waitFor();
    const loaded = two.page.locator('.bubble img');
    await expect.poll(() => loaded.evaluate((image: HTMLImageElement) => image.naturalWidth)).toBeGreaterThan(0);
    await two.page.getByRole('button', { name: 'Open photo sunset.png' }).click();
    await two.page.getByRole('dialog', { name: 'Photo' }).locator('img').waitFor();
    await two.page.keyboard.press('Escape');
    await two.page.getByRole('dialog', { name: 'Photo' }).waitFor({ state: 'detached' });
    const download = two.page.waitForEvent('download');
    await two.page.getByRole('link', { name: 'Download notes.txt' }).click();
    expect((await download).suggestedFilename()).toBe('notes.txt');
    expect([...one.problems, ...two.problems]).toEqual([]);
    await Promise.all([one.close(), two.close()]);
    cy.stop();
    dee.stop();
  });

  it('takes pasted and dropped files, and gives an upload up', async () => {
    const kim = await account(node, 'kim');
    const id = await room(kim, 'Uploads');
    const { page, problems, close } = await browse(browser, node, 'kim', `/rooms/${id}`);
    await connection(page, 'online');
    const data = await page.evaluateHandle((bytes) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(bytes)], 'pasted.png', { type: 'image/png' }));
      return transfer;
    }, [...png(40, 30)]);
    await page.locator('.composer textarea').evaluate((area, clipboardData) => {
      area.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
    }, data);
    await page.locator('.staged', { hasText: 'pasted.png' }).waitFor();
    await page.dispatchEvent('.conversation', 'drop', { dataTransfer: data });
    await expect.poll(() => page.locator('.staged li').count()).toBe(2);
    await page.getByRole('button', { name: 'Remove pasted.png' }).first().click();
    await page.getByRole('button', { name: 'Send' }).click();
    await page.locator('.bubble[data-state="stored"] img').waitFor();

    // An upload that does not end is shown, and can be cancelled.
    await page.route('**/attachments', () => {});
    await page.locator('input[type=file]').setInputFiles({ name: 'endless.bin', mimeType: 'application/octet-stream', buffer: Buffer.alloc(1_000) });
    await page.getByRole('button', { name: 'Send' }).click();
    await page.getByRole('progressbar', { name: 'Uploading endless.bin' }).waitFor();
    await page.getByRole('button', { name: 'Cancel the upload of endless.bin' }).click();
    await page.getByText('endless.bin').waitFor({ state: 'detached' });

    // One that fails says so, and is tried again.
    await page.unroute('**/attachments');
    await page.route('**/attachments', (route) => route.abort());
    await page.locator('input[type=file]').setInputFiles({ name: 'second.txt', mimeType: 'text/plain', buffer: Buffer.from('x') });
    await page.getByRole('button', { name: 'Send' }).click();
    await page.getByText(/Not sent/).waitFor();
    await page.unroute('**/attachments');
    await page.getByRole('button', { name: 'Send again' }).click();
    await page.locator('.bubble[data-state="stored"]', { hasText: 'second.txt' }).waitFor();
    expect(problems).toEqual([]);
    await close();
    kim.stop();
  });

  it('pages back through everything and keeps its place', async () => {
    const [eve, fay] = [await account(node, 'eve'), await account(node, 'fay')];
    const id = await room(eve, 'Long', fay);
    const all = Array.from({ length: 400 }, (_, n) => `message ${n + 1}`);
    await say(eve, id, ...all);
    const { page, problems, close } = await browse(browser, node, 'eve', `/rooms/${id}`);
    await sees(page, 'message 400');
    const seen = new Set<string>();
    await page.mouse.move(800, 400);
    const end = Date.now() + 40_000;
    while (!seen.has('message 1') && Date.now() < end) {
      for (const text of await texts(page)) seen.add(text);
      await page.mouse.wheel(0, -700);
      await page.waitForTimeout(30);
    }
    expect(all.filter((text) => !seen.has(text))).toEqual([]);

    // A page that comes in above does not move what is being read either.
    await page.goto(`/rooms/${id}`);
    await sees(page, 'message 400');
    // The page is held back until the place is known that it must not move.
    let isAsked = false;
    let answer = () => {};
    const mayAnswer = new Promise<void>((resolve) => (answer = resolve));
    await page.route('**/messages?before=*', async (route) => {
      isAsked = true;
      await mayAnswer;
      await route.continue();
    });
    await expect
      .poll(async () => (await page.mouse.wheel(0, -700), isAsked), { timeout: 20_000, interval: 50 })
      .toBe(true);
    const rows = () => page.locator('.all').evaluate((all) => all.clientHeight);
    const place = () => page.locator('.all').evaluate((all) => all.getBoundingClientRect().top);
    let last = Number.NaN;
    await expect.poll(async () => last === (last = await place()), { interval: 200 }).toBe(true);
    const read = await page.locator('[data-message]').nth(12).getAttribute('data-message');
    const top = () => page.locator(`[data-message="${read}"]`).evaluate((row) => Math.round(row.getBoundingClientRect().top));
    const [height, at] = [await rows(), await top()];
    answer();
    await expect.poll(rows, { timeout: 10_000 }).toBeGreaterThan(height + 1_000);
    expect(Math.abs((await top()) - at)).toBeLessThan(2);
    await page.unroute('**/messages?before=*');

    // What comes in below does not move what is being read.
    const before = await top();
    await say(fay, id, 'news from below');
    await page.getByText('1 new message').waitFor();
    expect(await top()).toBe(before);
    await page.getByRole('button', { name: 'To the latest message' }).click();
    await sees(page, 'news from below');

    // A link to an old message shows it, and from there the way down leads to the end.
    const old = (await eve.api.history(id, { limit: 500 }))[99];
    await page.goto(`/rooms/${id}/messages/${old?.id}`);
    await page.locator('.highlighted', { hasText: 'message 100' }).waitFor();
    await page.getByRole('button', { name: 'To the latest message' }).click();
    await sees(page, 'news from below');
    expect(problems).toEqual([]);
    await close();

    // So it does for who has to log in first; as new counts what is, wherever one stands.
    const other = await browse(browser, node, 'fay', `/rooms/${id}/messages/${old?.id}`);
    await other.page.locator('.highlighted', { hasText: 'message 100' }).waitFor();
    expect(fay.rooms.get(id)?.unread).toBe(0);
    await say(eve, id, 'more', 'and more');
    await other.page.locator('.latest', { hasText: '2 new messages' }).waitFor();
    // Opened anew it shows where the new ones begin, and follows what comes.
    await other.page.goto('/settings');
    await other.page.locator('.item', { hasText: 'Long' }).click();
    await sees(other.page, 'and more');
    await expect.poll(() => other.page.locator('.new').isVisible()).toBe(true);
    await expect.poll(() => other.page.locator('.latest').count()).toBe(0);
    await say(eve, id, ...Array.from({ length: 30 }, (_, n) => `and then ${n + 1}`));
    await expect.poll(() => isInView(other.page, 'and then 30')).toBe(true);
    await other.close();
    eve.stop();
    fay.stop();
  });

  it('starts a private chat, keeps a draft, counts what is unread, in two tabs', async () => {
    const [gus, hal] = [await account(node, 'gus'), await account(node, 'hal')];
    const id = await room(gus, 'Elsewhere', hal);
    const { page, close } = await browse(browser, node, 'gus', `/rooms/${id}`);
    await page.locator('.composer textarea').fill('half a thought');
    await page.getByRole('searchbox').fill('ha');
    await page.getByRole('button', { name: 'hal', exact: true }).click();
    await page.getByText('This is where your conversation with hal begins').waitFor();
    await write(page, 'psst');
    await sees(page, 'psst');
    // A conversation of two has no way out, and shows none.
    await page.getByRole('button', { name: 'Details of the room' }).click();
    await page.locator('.panel li', { hasText: 'hal' }).waitFor();
    expect(await page.locator('.panel .danger').count()).toBe(0);
    await page.getByRole('button', { name: 'Close' }).click();
    // Who is in the list of conversations is not among the people again.
    const halina = await account(node, 'halina');
    await page.getByRole('searchbox').fill('hal');
    await page.getByRole('button', { name: 'halina', exact: true }).waitFor();
    expect(await page.getByRole('button', { name: 'hal', exact: true }).count()).toBe(0);
    expect(await page.locator('.item', { hasText: 'hal' }).count()).toBe(1);
    await page.getByRole('button', { name: 'Clear the search' }).click();
    await page.locator('.item', { hasText: 'Elsewhere' }).waitFor();
    const second = await page.context().newPage();
    await second.goto('/');
    await second.locator('.item', { hasText: 'half a thought' }).waitFor();
    await say(hal, id, 'one', 'two');
    for (const tab of [page, second]) await tab.locator('.item', { hasText: 'Elsewhere' }).locator('.badge', { hasText: '2' }).waitFor();
    expect(await page.title()).toBe('(2) hal · natter');
    await second.bringToFront();
    await second.locator('.item', { hasText: 'Elsewhere' }).click();
    await sees(second, 'two');
    expect(await second.locator('.composer textarea').inputValue()).toBe('half a thought');
    await page.locator('.item', { hasText: 'Elsewhere' }).locator('.badge').waitFor({ state: 'detached' });

    // Logging out in one tab logs out in the other.
    await second.goto('/settings');
    await second.getByLabel('Current password').fill('not it');
    await second.getByLabel('New password').fill('another sentence');
    await second.keyboard.press('Enter');
    await second.getByText('That is not your current password.').waitFor();
    await second.getByRole('button', { name: 'Log out', exact: true }).click();
    await page.getByRole('button', { name: 'Log in' }).waitFor();
    await close();
    for (const one of [gus, hal, halina]) one.stop();
  });

  it('follows what comes into a room that was opened for a few new words', async () => {
    const [kit, lou] = [await account(node, 'kit'), await account(node, 'lou')];
    const id = await room(kit, 'Quiet', lou);
    await say(lou, id, 'one', 'two');
    const { page, problems, close } = await browse(browser, node, 'kit', `/rooms/${id}`);
    await sees(page, 'two');
    await say(lou, id, ...Array.from({ length: 30 }, (_, n) => `word ${n + 1}`));
    await expect.poll(() => isInView(page, 'word 30')).toBe(true);
    expect(problems).toEqual([]);
    await close();
    kit.stop();
    lou.stop();
  });

  it('removes a member, and deletes a room, under the eyes of those in it', async () => {
    const [ida, jon] = [await account(node, 'ida'), await account(node, 'jon')];
    const first = await room(ida, 'First', jon);
    await room(ida, 'Second', jon);
    const one = await browse(browser, node, 'ida', `/rooms/${first}`);
    const two = await browse(browser, node, 'jon', `/rooms/${first}`);
    // In the middle of a sentence, and with it.
    await two.page.locator('.composer textarea').pressSequentially('but');
    await one.page.getByRole('button', { name: 'Details of the room' }).click();
    await one.page.getByRole('button', { name: 'Remove jon' }).click();
    await one.page.getByRole('dialog').getByRole('button', { name: 'Remove jon' }).click();
    await two.page.getByText('You were removed from First.').waitFor();
    await connection(two.page, 'online');
    await two.page.locator('.item', { hasText: 'Second' }).click();
    await one.page.locator('.item', { hasText: 'Second' }).click();
    await one.page.getByRole('button', { name: 'Delete the room' }).click();
    await one.page.getByRole('dialog').getByRole('button', { name: 'Delete the room' }).click();
    await two.page.getByText('Second was deleted.').waitFor();
    expect([...one.problems, ...two.problems]).toEqual([]);
    await Promise.all([one.close(), two.close()]);
    ida.stop();
    jon.stop();
  });

  it('leaves a room, and finds the way back by a link that somebody sent', async () => {
    const [ora, pia] = [await account(node, 'ora'), await account(node, 'pia')];
    const id = await room(ora, 'Attic', pia);
    await say(ora, id, `come to ${node.url}/rooms/${id} again`);
    const { page, problems, close } = await browse(browser, node, 'pia', `/rooms/${id}`);
    const link = page.locator('.bubble a', { hasText: `/rooms/${id}` });
    expect(await link.getAttribute('rel')).toBe('noopener noreferrer nofollow');
    expect(await page.getByText('Today', { exact: true }).count()).toBe(1);
    await say(ora, id, 'said while it is looked at');
    await page.locator('p[aria-live="polite"]', { hasText: 'said while it is looked at' }).waitFor({ state: 'attached' });

    await page.getByRole('button', { name: 'Details of the room' }).click();
    await page.getByRole('button', { name: 'Leave the room' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Leave the room' }).click();
    await page.locator('.item', { hasText: 'Attic' }).waitFor({ state: 'detached' });

    await page.getByPlaceholder('Search or paste a room link').fill(`${node.url}/rooms/${id}`);
    await page.getByText('Open the room with this link').click();
    await page.getByText('You are not in this room yet').waitFor();
    await page.getByLabel('A few words to ora (optional)').fill('I miss it');
    await page.getByRole('button', { name: 'Ask to join' }).click();
    await page.getByText('You have asked to join').waitFor();
    const owner = await browse(browser, node, 'ora', `/rooms/${id}`);
    await owner.page.getByRole('button', { name: 'Details of the room' }).click();
    await owner.page.getByText('I miss it').waitFor();
    await owner.page.getByRole('button', { name: 'Let in' }).click();
    await sees(page, 'said while it is looked at');
    expect(problems).toEqual([]);
    await Promise.all([close(), owner.close()]);
    ora.stop();
    pia.stop();
  });
});
