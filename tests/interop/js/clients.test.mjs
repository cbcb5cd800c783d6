// What CONTRACT says of real time, by every official client and every transport.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Client, TRANSPORTS, VERSIONS } from "./support/client.mjs";
import { Node } from "./support/node.mjs";
import { Person } from "./support/people.mjs";
import { until } from "./support/wait.mjs";

// The smallest PNG there is: one pixel.
const PIXEL = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");

let node;
before(async () => (node = await Node.start()));
after(() => node.stop());

for (const version of VERSIONS) {
  for (const [way, transports] of Object.entries(TRANSPORTS)) {
    describe(`Socket.IO ${version}, ${way}`, () => behaves(version, transports));
  }
}

test("fifty people who write at once, by every client there is, are read in one order by all", async () => {
  const ways = VERSIONS.flatMap((version) => Object.values(TRANSPORTS).map((transports) => [version, transports]));
  const owner = await Person.signUp(node, "owner");
  const room = await owner.createRoom();
  const people = await Promise.all(Array.from({ length: 50 }, () => Person.signUp(node, "crowd")));
  await Promise.all(people.map((person) => person.enter(room, owner)));
  const writers = await Promise.all(
    people.map((person, index) => {
      const [version, transports] = ways[index % ways.length];
      const kind = index % 2 ? {} : { chat_room_id: room };
      return Client.connect(version, node, transports, { token: person.token, ...kind });
    }),
  );
  await Promise.all(writers.map((writer, index) => writer.next(index % 2 ? "ready" : "joined")));
  const answers = await Promise.all(
    writers.flatMap((writer, index) =>
      Array.from({ length: 10 }, (_, number) => writer.say(`${index}:${number}`, { chat_room_id: room })),
    ),
  );
  assert.ok(answers.every(({ ok }) => ok));
  const seen = await Promise.all(writers.map((writer) => writer.messages(500)));
  const order = seen[0].map(({ seq, content }) => `${seq} ${content}`);
  for (const other of seen) assert.deepEqual(other.map(({ seq, content }) => `${seq} ${content}`), order);
  assert.deepEqual(seen[0].map(({ seq }) => seq), Array.from({ length: 500 }, (_, index) => seen[0][0].seq + index));
  for (const index of writers.keys()) {
    const own = seen[0].filter(({ content }) => content.startsWith(`${index}:`)).map(({ content }) => content);
    assert.deepEqual(own, Array.from({ length: 10 }, (_, number) => `${index}:${number}`), "each writer's own order");
  }
  writers.forEach((writer) => writer.close());
});

function behaves(version, transports) {
  let alice, bob, room;
  const open = [];

  const connect = async (person, auth) => {
    const client = await Client.connect(version, node, transports, { token: person.token, ...auth });
    open.push(client);
    return client;
  };
  // A room socket that has its history behind it.
  const enter = async (person) => {
    const client = await connect(person, { chat_room_id: room });
    await client.next("online_users");
    return client;
  };

  before(async () => {
    [alice, bob] = [await Person.signUp(node, "alice"), await Person.signUp(node, "bob")];
    room = await alice.createRoom();
    await bob.enter(room, alice);
  });
  after(() => open.forEach((client) => client.close()));

  test("a room socket gets joined, the history and who is online, in this order", async () => {
    const [older, newer] = [await alice.post(room, "older"), await alice.post(room, "newer")];
    const first = await enter(alice);
    const client = await connect(bob, { chat_room_id: room });
    assert.deepEqual(await client.next("online_users"), [alice.username]);
    const joined = client.events.findIndex(({ event }) => event === "joined");
    const history = client.events.findIndex(({ event }) => event === "initial_messages");
    assert.ok(0 <= joined && joined < history, "joined comes before the history");
    const { chat_room_id, seq, epoch, limits } = await client.next("joined");
    assert.equal(chat_room_id, room);
    assert.equal(seq, newer.seq);
    assert.ok(epoch !== undefined && limits.max_message_bytes > 0 && limits.max_packet_bytes > 0);
    assert.deepEqual((await client.next("initial_messages")).slice(-2).map(({ id }) => id), [older.id, newer.id]);
    const join = await first.next("join", ({ username }) => username === bob.username);
    assert.equal(join.email, bob.email);
    client.close();
    await first.next("leave", ({ username }) => username === bob.username);
    first.close();
  });

  test("chat is acknowledged when stored, and told to the whole room, the sender included", async () => {
    const [mine, other] = [await enter(alice), await enter(bob)];
    const { ok, message } = await mine.say("hello", { username: "somebody else", user_id: bob.id });
    assert.equal(ok, true);
    assert.equal(message.content, "hello");
    assert.equal(message.user_id, alice.id, "the sender is the token's user, whatever the payload claims");
    assert.equal(message.username, alice.username);
    assert.match(message.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    for (const client of [mine, other]) {
      const told = await client.next("chat", ({ message }) => message.content === "hello");
      assert.equal(told.message.id, message.id);
      assert.equal(told.chat_room_id, room);
      assert.equal(told.seq, message.seq);
    }
  });

  test("a thousand pipelined messages arrive in the order they were sent, numbered without a hole", async () => {
    const [mine, other] = [await enter(alice), await enter(bob)];
    const contents = Array.from({ length: 1000 }, (_, index) => `pipelined ${index} ${"x".repeat(1000)}`);
    const acks = await Promise.all(contents.map((content) => mine.say(content)));
    const first = acks[0].message.seq;
    assert.deepEqual(acks.map(({ message }) => message.seq), contents.map((_, index) => first + index));
    for (const client of [mine, other]) {
      const seen = await client.messages(1000);
      assert.deepEqual(seen.map(({ content }) => content), contents);
      assert.deepEqual(seen.map(({ seq }) => seq), contents.map((_, index) => first + index));
    }
  });

  test("a picture inside chat is stored, and its path loads without a header", async () => {
    const mine = await enter(alice);
    const { ok, message, error } = await mine.say("look", { message_type: "image", file_name: "pixel.png", file: PIXEL });
    assert.equal(ok, true, JSON.stringify(error));
    assert.equal(message.file_name, "pixel.png");
    assert.ok(message.file_path.startsWith("/"), "a path on this service");
    const picture = await fetch(node.url + message.file_path);
    assert.equal(picture.status, 200);
    assert.equal(picture.headers.get("content-type"), "image/png");
    assert.deepEqual(Buffer.from(await picture.arrayBuffer()), PIXEL);
  });

  test("a retry with the same client_id is answered with the first message and stores nothing", async () => {
    const mine = await enter(alice);
    const first = await mine.say("once", { client_id: "retry-1" });
    const again = await mine.say("once", { client_id: "retry-1" });
    assert.deepEqual([again.ok, again.message.id, again.message.seq], [true, first.message.id, first.message.seq]);
    const other = await mine.say("something else", { client_id: "retry-1" });
    assert.deepEqual([other.ok, other.error.code], [false, "client_id_conflict"]);
    assert.equal((await mine.say("behind it")).message.seq, first.message.seq + 1);
  });

  test("older messages come in pages, in the ack and as more_messages", async () => {
    const own = await alice.createRoom("pages");
    for (let index = 0; index < 120; index += 1) await alice.post(own, `page me ${index}`);
    const client = await connect(alice, { chat_room_id: own });
    let seen = await client.next("initial_messages");
    assert.equal(seen.length, 50);
    while (seen[0].seq > 1) {
      const { ok, messages } = await client.ask("get_more_messages", { oldest_message_id: seen[0].id });
      assert.equal(ok, true);
      assert.deepEqual((await client.next("more_messages")).map(({ id }) => id), messages.map(({ id }) => id));
      if (messages.length === 0) break;
      seen = [...messages, ...seen];
    }
    const contents = seen.filter(({ content }) => content.startsWith("page me")).map(({ content }) => content);
    assert.deepEqual(contents, Array.from({ length: 120 }, (_, index) => `page me ${index}`));
  });

  test("a session socket serves every room, and opening one tells its history and its people", async () => {
    const mine = await enter(alice);
    const client = await connect(bob);
    const { rooms } = await client.next("ready");
    const entry = rooms.find(({ chat_room_id }) => chat_room_id === room);
    assert.ok(entry.seq > 0 && entry.epoch !== undefined);
    const { message } = await mine.say("to the session socket");
    assert.equal((await client.next("chat", ({ seq }) => seq === message.seq)).chat_room_id, room);
    const opened = await client.ask("open_room", { chat_room_id: room });
    assert.equal(opened.ok, true);
    assert.equal(opened.messages.at(-1).id, message.id);
    assert.deepEqual(opened.online_users, [alice.username]);
    assert.equal(opened.seq, message.seq);
    assert.equal((await client.say("and back", { chat_room_id: room })).ok, true);
    await mine.next("chat", ({ message }) => message.content === "and back");
    assert.equal((await client.ask("close_room", { chat_room_id: room })).ok, true);
  });

  test("a room that one comes into while connected begins with its member_added", async () => {
    const other = await alice.createRoom("comes later");
    const client = await connect(bob);
    await client.next("ready");
    await bob.enter(other, alice);
    const added = await client.next("member_added", ({ chat_room_id }) => chat_room_id === other);
    assert.equal(added.user.id, bob.id);
    const message = await alice.post(other, "welcome");
    assert.equal(message.seq, added.seq + 1);
    assert.equal((await client.next("chat", ({ chat_room_id }) => chat_room_id === other)).seq, message.seq);
  });

  for (const [kind, auth] of [["room", () => ({ chat_room_id: room })], ["session", () => ({})]]) {
    test(`a ${kind} socket that comes back with \`after\` gets exactly what it missed, then goes on live`, async () => {
      const first = await connect(bob, { chat_room_id: room });
      const { seq, epoch } = await first.next("joined");
      first.close();
      const missed = [];
      for (let index = 0; index < 5; index += 1) missed.push(await alice.post(room, `missed ${index}`));
      const client = await connect(bob, { ...auth(), after: { [room]: { seq, epoch } } });
      assert.deepEqual((await client.messages(5)).map(({ id }) => id), missed.map(({ id }) => id));
      const live = await alice.post(room, "live again");
      assert.deepEqual((await client.messages(1)).map(({ id }) => id), [live.id]);
      assert.deepEqual(client.events.filter(({ event }) => event === "chat" || event === "initial_messages"), []);
    });
  }

  test("what is refused is told in the ack and as an error event, and the connection stays", async () => {
    const mine = await enter(alice);
    const bad = [
      ["chat", { content: "", message_type: "text" }, "invalid"],
      ["chat", { content: "hello", message_type: "no such type" }, "invalid"],
      ["chat", { content: { $gt: "" }, message_type: "text" }, "invalid"],
      ["chat", "no object at all", "invalid"],
      ["chat", { content: "x".repeat(1_000_000), message_type: "text" }, "too_large"],
      ["get_more_messages", { oldest_message_id: "no id" }, "invalid"],
      ["get_more_messages", { oldest_message_id: "0".repeat(48) }, "not_found"],
      ["mark_read", { seq: -1 }, "invalid"],
    ];
    for (const [event, payload, code] of bad) {
      const { ok, error } = await mine.ask(event, payload);
      assert.deepEqual([ok, error.code], [false, code], `${event} ${JSON.stringify(payload).slice(0, 80)}`);
      assert.ok(error.detail.length > 0);
      const told = await mine.next("error");
      assert.deepEqual([told.code, told.event], [code, event]);
    }
    assert.equal((await mine.say("still here")).ok, true);
  });

  test("a bad token and a foreign room are refused for good, in words that begin with the code", async () => {
    const stranger = await Person.signUp(node, "stranger");
    const { chat_room: pair } = await alice.call("POST", "/pv-chat-room", { addressed_users_id: bob.id });
    const refused = [
      [{ token: "not.a.token", chat_room_id: room }, /^unauthorized: ./],
      [{ token: "not.a.token" }, /^unauthorized: ./],
      [{ token: stranger.token, chat_room_id: room }, /^forbidden: ./],
      [{ token: stranger.token, chat_room_id: pair.id }, /^not_found: ./],
      [{ token: stranger.token, chat_room_id: "0".repeat(24) }, /^not_found: ./],
    ];
    for (const [auth, words] of refused) {
      const client = Client.open(version, node, transports, auth);
      open.push(client);
      assert.match(String(await client.answer()), words);
      client.close();
    }
  });

  test("the transport is the one that was asked for", async () => {
    const client = await connect(alice);
    await until(`the transport ${transports.at(-1)}`, () => client.transport === transports.at(-1));
    assert.equal((await client.say("by this transport", { chat_room_id: room })).ok, true);
  });
}
