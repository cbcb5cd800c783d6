/** Debian's Chromium, as the tests and the screenshots use it. */
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

export async function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-quic',
      '--disable-sync',
      '--no-first-run',
    ],
  });
}

/** A profile of its own, in English; `problems` gathers what the page complains of. */
export async function person(
  browser: Browser,
  baseURL: string,
  options: BrowserContextOptions = {},
): Promise<{ context: BrowserContext; page: Page; problems: string[] }> {
  const context = await browser.newContext({ baseURL, locale: 'en-GB', viewport: { width: 1280, height: 800 }, ...options });
  const problems: string[] = [];
  context.on('page', (page) => watch(page, problems));
  const page = await context.newPage();
  // Machines are shared: a page that is starved for seconds is no fault of it.
  page.setDefaultTimeout(30_000);
  return { context, page, problems };
}

function watch(page: Page, problems: string[]): void {
  page.on('pageerror', (error) => problems.push(`${error.name}: ${error.message}`));
  page.on('console', (message) => {
    // A server that is away is part of the tests; anything else in red is not.
    if (message.type() === 'error' && !/ERR_CONNECTION|Failed to load resource|WebSocket connection/.test(message.text())) {
      problems.push(message.text());
    }
  });
}
