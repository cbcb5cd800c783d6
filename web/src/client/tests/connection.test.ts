import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Connection, type Hooks } from '../connection.ts';
import { FakeServer } from './fake-server.ts';

let server: FakeServer;
let connection: Connection;

beforeEach(async () => {
  server = new FakeServer();
  await server.start();
});

afterEach(async () => {
  connection.stop();
  await server.stop();
});

async function goodToken(): Promise<string> {
  server.addUser('ada');
  const answer = await fetch(`${server.url}/token`, { method: 'POST', body: new URLSearchParams({ username: 'ada' }) });
  return ((await answer.json()) as { access_token: string }).access_token;
}

/** A connection with a good token, whose attempts are given up after so many milliseconds. */
async function connect(connectTimeout: number, token?: Hooks['token']): Promise<string[]> {
  const access_token = await goodToken();
  const states: string[] = [];
  connection = new Connection(
    server.url,
    {
      token: token ?? (async () => access_token),
      replace: async () => access_token,
      after: () => ({}),
      ready: () => {},
      event: () => {},
      down: () => {},
      state: ({ kind }) => states.push(kind),
    },
    connectTimeout,
  );
  connection.start();
  return states;
}

const ready = () => expect.poll(() => connection.isReady, { timeout: 8_000, interval: 5 }).toBe(true);

describe('an attempt to connect', () => {
  it('is over at once when the server goes in the middle of the handshake', async () => {
    server.brokenHandshakes = 1;
    // Longer than this test may take.
    const states = await connect(60_000);
    await ready();
    expect(states).toEqual(['connecting', 'offline', 'resuming']);
  });

  it('is given up when nobody answers, and followed by another', async () => {
    server.ignored = 2;
    const states = await connect(300);
    await ready();
    expect(states.filter((kind) => kind === 'offline').length).toBeGreaterThanOrEqual(2);
  });

  it('does not greet the server with what belonged to the attempt before', async () => {
    const waiting: (() => void)[] = [];
    let mayGo = false;
    const token = await goodToken();
    await connect(300, async () => {
      if (!mayGo) await new Promise<void>((resolve) => waiting.push(resolve));
      return token;
    });
    await expect.poll(() => waiting.length, { timeout: 8_000, interval: 5 }).toBeGreaterThan(2);
    mayGo = true;
    for (const go of waiting) go();
    await ready();
    expect(server.greetings).toBe(1);
  });
});
