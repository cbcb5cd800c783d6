// The official clients of three generations behind one face: every event is kept until somebody asks for it.
import { createRequire } from "node:module";
import { until, within } from "./wait.mjs";

const require = createRequire(import.meta.url);

const LIBRARIES = { 4: "socket.io-client", 3: "socket.io-client-3", 2: "socket.io-client-2" };

export const VERSIONS = [4, 3, 2];
export const TRANSPORTS = {
  "websocket only": ["websocket"],
  "polling only": ["polling"],
  "polling, then upgraded": ["polling", "websocket"],
};

const EVENTS = [
  "joined", "ready", "initial_messages", "online_users", "chat", "more_messages", "resume_truncated", "error",
  "member_added", "member_removed", "join", "leave", "typing", "read_marker", "disconnect",
];

export class Client {
  // `auth` is `{token, chat_room_id?, after?}`; Socket.IO 2 has none and says the same by header and query.
  static open(version, node, transports, auth, more = {}) {
    const { token, ...query } = auth;
    if (query.after) query.after = JSON.stringify(query.after);
    const said = version > 2 ? { auth } : { query, extraHeaders: { Authorization: `Bearer ${token}` } };
    const client = new Client();
    client.version = version;
    client.events = [];
    const pace = { forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 200 };
    const library = require(LIBRARIES[version]);
    client.socket = (library.io ?? library)(node.url, { transports, ...pace, ...said, ...more });
    for (const event of EVENTS) {
      client.socket.on(event, (payload) => client.events.push({ event, payload }));
    }
    return client;
  }

  static async connect(...args) {
    const client = Client.open(...args);
    const refused = await client.answer();
    if (refused) throw new Error(`refused: ${refused}`);
    return client;
  }

  // The words of the refusal, or nothing once connected. A refusal is `connect_error` since Socket.IO 3, `error` before.
  answer() {
    const words = (error) => (typeof error === "string" ? error : error.message);
    return within("an answer to the handshake", new Promise((done) => {
      this.socket.once("connect", () => done());
      this.socket.once("connect_error", (error) => done(words(error)));
      if (this.version === 2) this.socket.once("error", (error) => done(words(error)));
    }));
  }

  get transport() {
    return this.socket.io.engine.transport.name;
  }

  // Takes the first kept event of this name, or waits for it.
  async next(event, matches = () => true) {
    const found = await until(`the event ${event}`, () => {
      const index = this.events.findIndex((kept) => kept.event === event && matches(kept.payload));
      return index < 0 ? undefined : this.events.splice(index, 1);
    });
    return found[0].payload;
  }

  // The messages of the next `count` chats, in the order of their arrival.
  async messages(count) {
    const found = [];
    while (found.length < count) found.push((await this.next("chat")).message);
    return found;
  }

  ask(event, payload) {
    return within(`the ack of ${event}`, new Promise((done) => this.socket.emit(event, payload, done)));
  }

  say(content, more = {}) {
    return this.ask("chat", { content, message_type: "text", ...more });
  }

  close() {
    this.socket.close();
  }
}
