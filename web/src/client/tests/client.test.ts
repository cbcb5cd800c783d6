import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ClientOptions, MemoryTokenStore, type Message, NatterClient } from '../index.ts';
import type { Entry, OutboxStore } from '../outbox.ts';
import { FakeServer } from './fake-server.ts';

let server: FakeServer;
const clients: NatterClient[] = [];

beforeEach(async () => {
  server = new FakeServer();
  await server.start();
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.stop();
  await server.stop();
});

/** A started client and every message that it told. */
async function signedIn(username: string, options: ClientOptions = {}) {
  const client = new NatterClient({ url: server.url, ...options });
  clients.push(client);
  const told: Message[] = [];
  client.on('message', (message) => told.push(message));
  await client.logIn(username, 'password');
  await client.start();
  await online(client);
  return { client, told, texts: () => told.map((message) => message.content) };
}

const online = (client: NatterClient) => until(() => client.state.kind === 'online');

async function until(condition: () => boolean): Promise<void> {
  await expect.poll(condition, { timeout: 8_000, interval: 5 }).toBe(true);
}

function twoPeople() {
  const ada = server.addUser('ada');
  const bo = server.addUser('bo');
  const room = server.addRoom('tea', ada, bo);
  return { ada, bo, room };
}

describe('keeping rooms in sync', () => {
  it('tells live messages of every room, in order, without opening them', async () => {
    const { ada, bo, room } = twoPeople();
    const other = server.addRoom('other', ada, bo);
    const { client, texts } = await signedIn('ada');
    server.say(room, bo, 'one');
    server.say(other, bo, 'two');
    server.say(room, bo, 'three');
    await until(() => texts().length === 3);
    expect(texts()).toEqual(['one', 'two', 'three']);
    expect(client.rooms.get(room.id)?.unread).toBe(2);
  });

  it('replays what it missed while the server was away, once', async () => {
    const { bo, room } = twoPeople();
    const { client, texts } = await signedIn('ada');
    await client.open(room.id);
    server.say(room, bo, 'before');
    await until(() => texts().length === 1);
    await server.stop();
    await until(() => client.state.kind === 'offline');
    server.say(room, bo, 'missed 1');
    server.say(room, bo, 'missed 2');
    await server.start();
    await online(client);
    server.say(room, bo, 'after');
    await until(() => texts().length === 4);
    expect(texts()).toEqual(['before', 'missed 1', 'missed 2', 'after']);
    expect(client.rooms.get(room.id)?.timeline.messages.map((message) => message.content)).toEqual(texts());
  });

  it('works where WebSockets do not', async () => {
    const { bo, room } = twoPeople();
    await server.stop();
    server.transports = ['polling'];
    await server.start();
    const { client, texts } = await signedIn('ada');
    server.say(room, bo, 'the long way');
    await until(() => texts().length === 1);
    client.send(room.id, { content: 'and back' });
    await until(() => client.outbox.size === 0);
  });

  it('mends a gap by resuming', async () => {
    const { bo, room } = twoPeople();
    const { client, texts } = await signedIn('ada');
    server.swallow = room.log.length + 1;
    server.say(room, bo, 'swallowed');
    server.say(room, bo, 'shows the gap');
    await until(() => texts().length === 2);
    expect(texts()).toEqual(['swallowed', 'shows the gap']);
    await online(client);
  });

  it('begins again at the newest page when too much was missed', async () => {
    const { bo, room } = twoPeople();
    const { client } = await signedIn('ada');
    await client.open(room.id);
    server.replayLimit = 60;
    const truncated: unknown[] = [];
    client.on('truncated', (event) => truncated.push(event));
    await server.stop();
    for (let n = 1; n <= 200; n += 1) server.say(room, bo, `m${n}`);
    await server.start();
    await until(() => truncated.length === 1);
    await online(client);
    const { timeline } = client.rooms.get(room.id)!;
    expect(timeline.messages.length).toBe(50);
    while (!timeline.atStart) await client.history.older(room.id);
    expect(timeline.messages.map((message) => message.content)).toEqual(Array.from({ length: 200 }, (_, n) => `m${n + 1}`));
  });

  it('advances over lasting events that it does not know', async () => {
    const { ada, bo, room } = twoPeople();
    const { client, texts } = await signedIn('ada');
    server.addMember(room, server.addUser('cy'));
    server.say(room, bo, 'hello');
    await until(() => texts().length === 1);
    expect(client.rooms.get(room.id)?.seq).toBe(room.log.length);
    expect(ada.id).toBe(client.me?.id);
  });

  it('serves a room that it comes into, and drops one that it is removed from', async () => {
    const { ada, bo, room } = twoPeople();
    const { client, texts } = await signedIn('ada');
    const late = server.addRoom('late', bo);
    server.say(late, bo, 'before ada');
    server.addMember(late, ada);
    server.say(late, bo, 'welcome');
    await until(() => texts().includes('welcome'));
    await until(() => client.rooms.get(late.id)?.entry?.name === 'late');
    expect(texts()).toEqual(['welcome']);
    server.removeMember(room, ada);
    await until(() => !client.rooms.has(room.id));
  });

  it('drops a room that it lost while it was away', async () => {
    const { ada, room } = twoPeople();
    const { client } = await signedIn('ada');
    const gone: string[] = [];
    client.on('gone', ({ reason }) => gone.push(reason));
    await server.stop();
    room.members.delete(ada.id);
    await server.start();
    await until(() => gone.length === 1);
    expect(client.rooms.has(room.id)).toBe(false);
  });
});

describe('sending', () => {
  it('stores a pipelined burst once and in order', async () => {
    const { room } = twoPeople();
    const { client } = await signedIn('ada');
    const contents = Array.from({ length: 100 }, (_, n) => `m${n}`);
    for (const content of contents) client.send(room.id, { content });
    await until(() => client.outbox.size === 0);
    expect(server.texts(room)).toEqual(contents);
  });

  it('sends again under the same client_id when the connection goes before the ack', async () => {
    const { room } = twoPeople();
    const { client, texts } = await signedIn('ada');
    server.faults = ['kill-after-store'];
    client.send(room.id, { content: 'once' });
    client.send(room.id, { content: 'twice' });
    await until(() => client.outbox.size === 0 && texts().length === 2);
    expect(server.texts(room)).toEqual(['once', 'twice']);
    expect(texts()).toEqual(['once', 'twice']);
  });

  it('keeps what is written offline and sends it in order afterwards', async () => {
    const { room } = twoPeople();
    const { client } = await signedIn('ada');
    await server.stop();
    await until(() => client.state.kind === 'offline');
    for (const content of ['a', 'b', 'c']) client.send(room.id, { content });
    expect(client.outbox.of(room.id).map((entry) => entry.state)).toEqual(['pending', 'pending', 'pending']);
    await server.start();
    await until(() => client.outbox.size === 0);
    expect(server.texts(room)).toEqual(['a', 'b', 'c']);
  });

  it('tries again after refusals for now', async () => {
    const { room } = twoPeople();
    const { client } = await signedIn('ada');
    const busy = { code: 'overloaded', retry_after: 0.05 };
    server.faults = [busy, busy, busy];
    for (const content of ['a', 'b', 'c', 'd']) client.send(room.id, { content });
    await until(() => client.outbox.size === 0);
    expect(new Set(server.texts(room))).toEqual(new Set(['a', 'b', 'c', 'd']));
    expect(server.chats.length).toBe(7);
  });

  it('fails a message that is refused for good, and lets it be tried again or dropped', async () => {
    const { room } = twoPeople();
    const { client } = await signedIn('ada');
    server.faults = [{ code: 'too_large' }, { code: 'too_large' }];
    const first = client.send(room.id, { content: 'long' });
    const second = client.send(room.id, { content: 'longer' });
    await until(() => second.state === 'failed');
    expect(first.error?.code).toBe('too_large');
    client.outbox.retry(first.client_id);
    client.outbox.discard(second.client_id);
    await until(() => client.outbox.size === 0);
    expect(server.texts(room)).toEqual(['long']);
  });

  it('sends after a reload what was not stored before it', async () => {
    const { room } = twoPeople();
    let saved: Entry[] = [];
    const store: OutboxStore = { load: () => saved, save: (entries) => (saved = structuredClone(entries)) };
    const { client } = await signedIn('ada', { outbox: () => store });
    await server.stop();
    await until(() => client.state.kind === 'offline');
    client.send(room.id, { content: 'survives' });
    client.stop();
    await server.start();
    const again = await signedIn('ada', { outbox: () => store });
    await until(() => again.client.outbox.size === 0);
    expect(server.texts(room)).toEqual(['survives']);
    expect(saved).toEqual([]);
  });
});

describe('the session', () => {
  it('renews its token before it ends', async () => {
    twoPeople();
    server.tokenLife = 2; // Long enough that a pause of the machine does not outlast it.
    await signedIn('ada');
    await until(() => server.refreshes >= 2);
  });

  it('connects with the token that it has when a renewal gets no answer', async () => {
    const { bo, room } = twoPeople();
    server.tokenLife = 3;
    const { texts } = await signedIn('ada');
    server.isStuck = true;
    await server.stop();
    await expect.poll(() => clients[0]?.state.kind).toBe('offline');
    // By now the token wants to be renewed before it is used.
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 2_900 });
    await server.start();
    server.say(room, bo, 'heard all the same');
    await expect.poll(texts, { timeout: 12_000 }).toEqual(['heard all the same']);
    vi.useRealTimers();
  });

  it('renews its token although the clock was set back meanwhile', async () => {
    twoPeople();
    server.tokenLife = 2;
    const now = vi.spyOn(Date, 'now');
    try {
      await signedIn('ada');
      const begun = performance.timeOrigin + performance.now();
      // As it is when a timer fires early: at the moment of the renewal it is not yet time for it.
      now.mockImplementation(() => Math.floor(begun + (performance.timeOrigin + performance.now() - begun) / 2));
      await until(() => server.refreshes >= 1);
    } finally {
      now.mockRestore();
    }
  });

  it('ends when it is revoked', async () => {
    twoPeople();
    const { client } = await signedIn('ada');
    let ended = 0;
    client.on('ended', () => (ended += 1));
    server.revoked.add(client.tokens.current!);
    server.disconnect(true);
    await until(() => ended === 1);
    expect(client.isSignedIn).toBe(false);
  });

  it('does not send for one person what another one wrote', async () => {
    const { room } = twoPeople();
    const { client } = await signedIn('ada');
    await server.stop();
    await until(() => client.state.kind === 'offline');
    client.send(room.id, { content: 'later' });
    client.logOut();
    await server.start();
    await client.logIn('bo', 'password');
    await client.start();
    await online(client);
    expect(client.outbox.size).toBe(0);
    expect(server.texts(room)).toEqual([]);
  });

  it('sends what was not sent once the same person signs in again', async () => {
    const { room } = twoPeople();
    const { client } = await signedIn('ada');
    await server.stop();
    await until(() => client.state.kind === 'offline');
    client.send(room.id, { content: 'later' });
    client.logOut();
    await server.start();
    await client.logIn('ada', 'password');
    await client.start();
    await until(() => client.outbox.size === 0);
    expect(server.texts(room)).toEqual(['later']);
  });

  it('comes back with a newer token when the old one is refused', async () => {
    twoPeople();
    const tokens = new MemoryTokenStore();
    const { client } = await signedIn('ada', { tokens });
    const old = client.tokens.current!;
    await client.tokens.renew();
    server.revoked.add(old);
    server.disconnect();
    await until(() => client.state.kind === 'offline');
    await online(client);
  });
});

describe('history', () => {
  it('jumps to an old message, pages down to the end, and goes on live', async () => {
    const { bo, room } = twoPeople();
    const messages = Array.from({ length: 300 }, (_, n) => server.say(room, bo, `m${n}`));
    const { client } = await signedIn('ada');
    await client.open(room.id);
    await client.history.around(room.id, messages[20]!.id);
    const { timeline } = client.rooms.get(room.id)!;
    expect(timeline.find(messages[20]!.id)).toBeDefined();
    expect(timeline.atEnd).toBe(false);
    server.say(room, bo, 'meanwhile');
    await until(() => client.rooms.get(room.id)?.lastMessage?.content === 'meanwhile');
    while (!timeline.atEnd) await client.history.newer(room.id);
    server.say(room, bo, 'live');
    await until(() => timeline.last?.content === 'live');
    const seqs = timeline.messages.map((message) => message.seq);
    expect(seqs).toEqual(Array.from({ length: seqs.length }, (_, n) => seqs[0]! + n));
  });
});

describe('opening a room', () => {
  it('keeps the place of who came to an old message before the answer', async () => {
    const { bo, room } = twoPeople();
    const messages = Array.from({ length: 200 }, (_, n) => server.say(room, bo, `m${n}`));
    const { client } = await signedIn('ada');
    await Promise.all([client.history.around(room.id, messages[20]!.id), client.open(room.id)]);
    await client.open(room.id);
    expect(client.rooms.get(room.id)!.timeline.find(messages[20]!.id)).toBeDefined();
  });
});

describe('signals', () => {
  it('shows typing until it expires and read markers on all of a user\'s clients', async () => {
    const { room, bo } = twoPeople();
    const ada = await signedIn('ada');
    const second = await signedIn('ada');
    const other = await signedIn('bo');
    other.client.typing(room.id);
    await until(() => ada.client.rooms.get(room.id)!.typing.size === 1);
    const message = server.say(room, bo, 'read me');
    await until(() => second.client.rooms.get(room.id)!.unread === 1);
    expect(ada.client.rooms.get(room.id)!.typing.size).toBe(0);
    ada.client.markRead(room.id, message.seq);
    await until(() => second.client.rooms.get(room.id)!.unread === 0);
  });
});
