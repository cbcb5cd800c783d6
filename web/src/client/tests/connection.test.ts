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

/** A connection with a good token, whose attempts are given up after so many milliseconds. */
async function connect(connectTimeout: number, token?: Hooks['token']): Promise<string[]> {
  server.addUser('ada');
  const answer = await fetch(`${server.url}/token`, { method: 'POST', body: new URLSearchParams({ username: 'ada' }) });
  const { access_token } = (await answer.json()) as { access_token: string };
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
    const answers: ((token: string) => void)[] = [];
    const states = await connect(300, () => new Promise((resolve) => answers.push(resolve)));
    await expect.poll(() => answers.length, { timeout: 8_000, interval: 5 }).toBe(3);
    const answer = await fetch(`${server.url}/token`, { method: 'POST', body: new URLSearchParams({ username: 'ada' }) });
    const { access_token } = (await answer.json()) as { access_token: string };
    for (const give of answers) give(access_token);
    await ready();
    expect(server.greetings).toBe(1);
    expect(states.at(-1)).toBe('resuming');
  });
});
