/** A small in-memory server that speaks docs/PROTOCOL.md as far as the client's tests need, and fails on demand. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server as HttpServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { Server, type Socket } from 'socket.io';
import type { Message, Person, RoomEntry } from '../types.ts';

interface FakeEvent {
  name: string;
  payload: Record<string, unknown> & { chat_room_id: string; seq: number };
}

interface FakeRoom {
  id: string;
  name: string;
  members: Set<string>;
  log: FakeEvent[];
  ordinal: number;
  stored: Map<string, Message>;
  markers: Map<string, number>;
}

/** What the next matching `chat` meets. */
export type Fault = 'lose-ack' | 'kill-after-store' | { code: string; retry_after?: number };

export const EPOCH = 'e1';
const LIMITS = {
  max_message_bytes: 16_384,
  max_inline_file_bytes: 1,
  max_upload_bytes: 1_000,
  max_packet_bytes: 100_000,
  max_client_id_chars: 64,
  page: 50,
};

export class FakeServer {
  users = new Map<string, Person>();
  rooms = new Map<string, FakeRoom>();
  faults: Fault[] = [];
  /** Seconds that a token lives. */
  tokenLife = 1_800;
  /** Tokens that are refused from now on. */
  revoked = new Set<string>();
  refreshes = 0;
  chats: { client_id: string; content: string }[] = [];
  afters: unknown[] = [];
  replayLimit = 1_000;
  transports: ('polling' | 'websocket')[] = ['polling', 'websocket'];
  /** Leaves this `seq` out of live delivery, once: a gap. */
  swallow: number | null = null;
  /** WebSockets that are accepted and closed before a word is said, as by a server that is killed just then. */
  brokenHandshakes = 0;
  /** Connections that get no answer when they say who they are. */
  ignored = 0;
  /** Whether a renewal of a token is left without an answer. */
  isStuck = false;
  /** How often somebody said who they are. */
  greetings = 0;
  port = 0;
  #http: HttpServer | null = null;
  #io: Server | null = null;
  #tokens = new Map<string, string>();
  #issued = 0;

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const http = createServer((request, response) => void this.#answer(request, response));
    this.#http = http;
    this.#io = new Server(http, { transports: this.transports });
    // Without WebSockets in the list nobody takes an upgrade, and Node refuses it.
    if (this.transports.includes('websocket')) http.prependListener('upgrade', (request: IncomingMessage, socket: Duplex) => {
      if (this.brokenHandshakes === 0) return;
      this.brokenHandshakes -= 1;
      const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
      const head = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade', `Sec-WebSocket-Accept: ${accept.digest('base64')}`];
      socket.end(`${head.join('\r\n')}\r\n\r\n`);
    });
    this.#io.use((socket, next) => {
      this.greetings += 1;
      if (this.ignored > 0) {
        this.ignored -= 1;
        return;
      }
      const user = this.#user(String(socket.handshake.auth['token']));
      if (!user) return next(new Error('unauthorized: The token is not valid.'));
      socket.data.user = user;
      next();
    });
    this.#io.on('connection', (socket) => this.#connected(socket));
    await new Promise<void>((resolve) => http.listen(this.port, '127.0.0.1', resolve));
    this.port = (http.address() as AddressInfo).port;
  }

  /** Ends every connection and the listener, as a crash does; the data stays. */
  async stop(): Promise<void> {
    this.#http?.closeAllConnections();
    await new Promise<void>((resolve) => void this.#io?.close(() => resolve()));
  }

  addUser(username: string): Person {
    const user = { id: `u-${username}`, email: `${username}@example.com`, username };
    this.users.set(user.id, user);
    return user;
  }

  addRoom(name: string, ...members: Person[]): FakeRoom {
    const room: FakeRoom = {
      id: `r-${name}`,
      name,
      members: new Set(),
      log: [],
      ordinal: 0,
      stored: new Map(),
      markers: new Map(),
    };
    this.rooms.set(room.id, room);
    for (const member of members) this.addMember(room, member);
    return room;
  }

  addMember(room: FakeRoom, user: Person): void {
    room.members.add(user.id);
    this.#append(room, 'member_added', { user, role: 'member' });
  }

  removeMember(room: FakeRoom, user: Person): void {
    this.#append(room, 'member_removed', { user, reason: 'removed' });
    room.members.delete(user.id);
  }

  say(room: FakeRoom, user: Person, content: string, client_id: string | null = null): Message {
    room.ordinal += 1;
    const seq = room.log.length + 1;
    const message: Message = {
      id: `m-${room.id}-${seq}`,
      chat_room_id: room.id,
      user_id: user.id,
      username: user.username,
      content,
      timestamp: new Date(1_700_000_000_000 + seq * 1_000).toISOString(),
      message_type: 'text',
      file_name: null,
      file_path: null,
      seq,
      ordinal: room.ordinal,
      client_id,
      attachment: null,
    };
    if (client_id) room.stored.set(`${user.id} ${client_id}`, message);
    this.#append(room, 'chat', { message });
    return message;
  }

  texts(room: FakeRoom): string[] {
    return messagesOf(room).map((message) => message.content);
  }

  /** Closes all sockets; their transports, or as a revocation does. */
  disconnect(revoke = false): void {
    if (revoke) this.#io?.disconnectSockets(false);
    else for (const socket of this.#io?.sockets.sockets.values() ?? []) socket.conn.close();
  }

  #append(room: FakeRoom, name: string, payload: Record<string, unknown>): void {
    const event: FakeEvent = { name, payload: { ...payload, chat_room_id: room.id, seq: room.log.length + 1 } };
    room.log.push(event);
    if (this.swallow === event.payload.seq) {
      this.swallow = null;
      return;
    }
    for (const socket of this.#io?.sockets.sockets.values() ?? []) {
      if (room.members.has((socket.data.user as Person).id)) socket.emit(name, event.payload);
    }
  }

  #connected(socket: Socket): void {
    const user = socket.data.user as Person;
    const after = (socket.handshake.auth['after'] ?? {}) as Record<string, { seq: number; epoch: string } | number>;
    this.afters.push(after);
    const rooms = [...this.rooms.values()].filter((room) => room.members.has(user.id));
    const tails = rooms.map((room) => ({ chat_room_id: room.id, seq: room.log.length, epoch: EPOCH }));
    socket.emit('ready', { rooms: tails, limits: LIMITS });
    for (const room of rooms) this.#replay(socket, room, after[room.id]);
    socket.on('chat', (payload, ack) => this.#chat(socket, user, payload, ack));
    socket.on('open_room', ({ chat_room_id }, ack) => {
      const room = this.rooms.get(chat_room_id);
      if (!room?.members.has(user.id)) return ack({ ok: false, error: { code: 'not_found', detail: 'No such room.' } });
      ack({ ok: true, messages: messagesOf(room).slice(-50), online_users: [], seq: room.log.length, epoch: EPOCH });
    });
    socket.on('close_room', (_payload, ack) => ack({ ok: true }));
    socket.on('typing', ({ chat_room_id, is_typing }, ack) => {
      const signal = { chat_room_id, user_id: user.id, username: user.username, is_typing, expires_in: 6 };
      socket.broadcast.emit('typing', signal);
      ack({ ok: true });
    });
    socket.on('mark_read', ({ chat_room_id, seq }, ack) => {
      this.rooms.get(chat_room_id)?.markers.set(user.id, seq);
      const marker = { chat_room_id, user_id: user.id, seq, unread: this.#unread(chat_room_id, user.id) };
      this.#io?.emit('read_marker', marker);
      ack({ ok: true, seq, unread: marker.unread });
    });
  }

  #replay(socket: Socket, room: FakeRoom, from: { seq: number } | number | undefined): void {
    if (from === undefined) return;
    const seq = typeof from === 'number' ? from : from.seq;
    if (room.log.length - seq > this.replayLimit) {
      const messages = messagesOf(room).slice(-50);
      socket.emit('resume_truncated', { chat_room_id: room.id, seq: room.log.length, epoch: EPOCH, messages });
      return;
    }
    for (const event of room.log.slice(seq)) socket.emit(event.name, event.payload);
  }

  #chat(socket: Socket, user: Person, payload: Record<string, string>, ack: (answer: object) => void): void {
    const { chat_room_id = '', content = '', client_id = '' } = payload;
    this.chats.push({ client_id, content });
    const fault = this.faults.shift();
    if (typeof fault === 'object') return ack({ ok: false, error: { detail: 'Refused.', ...fault } });
    const room = this.rooms.get(chat_room_id);
    if (!room?.members.has(user.id)) return ack({ ok: false, error: { code: 'not_found', detail: 'No such room.' } });
    const message = room.stored.get(`${user.id} ${client_id}`) ?? this.say(room, user, content, client_id);
    if (fault === 'kill-after-store') socket.conn.close();
    else if (fault !== 'lose-ack') ack({ ok: true, message });
  }

  #unread(room: string, user: string): number {
    const found = this.rooms.get(room);
    return found ? messagesOf(found).filter((message) => message.seq > (found.markers.get(user) ?? 0)).length : 0;
  }

  #user(token: string): Person | undefined {
    return this.revoked.has(token) ? undefined : this.users.get(this.#tokens.get(token) ?? '');
  }

  #token(user: Person): object {
    this.#issued += 1;
    const claims = Buffer.from(JSON.stringify({ sub: user.id, n: this.#issued })).toString('base64url');
    const access_token = `h.${claims}.s`;
    this.#tokens.set(access_token, user.id);
    return { access_token, token_type: 'bearer', expires_in: this.tokenLife };
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url);
    let body = '';
    for await (const chunk of request) body += String(chunk);
    const token = (request.headers.authorization ?? '').replace('Bearer ', '');
    if (this.isStuck && url.pathname === '/refresh-token') return;
    const [status, answer] = this.#route(`${request.method} ${decodeURIComponent(url.pathname)}`, url.searchParams, body, token);
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(answer === undefined ? '' : JSON.stringify(answer));
  }

  #route(call: string, query: URLSearchParams, body: string, token: string): [number, unknown] {
    if (call === 'POST /token') {
      const name = new URLSearchParams(body).get('username');
      const user = [...this.users.values()].find((candidate) => candidate.username === name);
      return user ? [200, this.#token(user)] : [401, { code: 'unauthorized', detail: 'Wrong name or password.' }];
    }
    const user = this.#user(token);
    if (!user) return [401, { code: 'unauthorized', detail: 'The token is not valid.' }];
    if (call === 'POST /refresh-token') {
      this.refreshes += 1;
      return [200, this.#token(user)];
    }
    if (call === 'GET /users/me') return [200, { ...user, is_online: true, is_admin: false }];
    if (call === 'POST /user/submitted-chat-rooms') {
      const { is_group } = JSON.parse(body) as { is_group: boolean };
      return [200, is_group ? this.#entries(user) : []];
    }
    const history = /^GET \/chat-rooms\/([^/]+)\/messages$/.exec(call);
    const room = this.rooms.get(history?.[1] ?? '');
    if (room) return [200, pageOf(room, query)];
    return [404, { code: 'not_found', detail: 'There is nothing here.' }];
  }

  #entries(user: Person): RoomEntry[] {
    const rooms = [...this.rooms.values()].filter((room) => room.members.has(user.id));
    return rooms.map((room) => ({
      id: room.id,
      name: room.name,
      created_at: '2026-01-01T00:00:00.000Z',
      is_group: true,
      last_activity: '2026-01-01T00:00:00.000Z',
      owner: user,
      role: 'member',
      unread: this.#unread(room.id, user.id),
      read_seq: room.markers.get(user.id) ?? 0,
      seq: room.log.length,
      epoch: EPOCH,
      last_message: messagesOf(room).at(-1) ?? null,
      peer: null,
    }));
  }
}

function messagesOf(room: FakeRoom): Message[] {
  return room.log.flatMap((event) => (event.name === 'chat' ? [event.payload['message'] as Message] : []));
}

function pageOf(room: FakeRoom, query: URLSearchParams): Message[] {
  const all = messagesOf(room);
  const limit = Number(query.get('limit') ?? 50);
  const index = (name: string) => all.findIndex((message) => message.id === query.get(name));
  if (query.has('before')) return all.slice(Math.max(0, index('before') - limit), index('before'));
  if (query.has('after')) return all.slice(index('after') + 1, index('after') + 1 + limit);
  if (query.has('around')) {
    const start = Math.max(0, index('around') - limit / 2);
    return all.slice(start, start + limit);
  }
  return all.slice(-limit);
}
