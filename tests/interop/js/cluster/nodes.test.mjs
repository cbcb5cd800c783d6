// What only a cluster can get wrong: the same people on several nodes at once. Some clients are on a node of their
// own choice, some behind the balancer, which sends each request to the next node.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Client, TRANSPORTS } from "../support/client.mjs";
import { Person } from "../support/people.mjs";
import { until } from "../support/wait.mjs";
import { Polling } from "../support/wire.mjs";

const balanced = { url: process.env.NATTER_TEST_CLUSTER_URL };
const nodes = process.env.NATTER_TEST_CLUSTER_NODES.split(" ").map((url) => ({ url }));
const [first, second, third] = nodes;
const WAYS = [4, 3, 2].flatMap((version) => Object.values(TRANSPORTS).map((transports) => [version, transports]));
const WEBSOCKET = [4, ["websocket"]];
const POLLING = [4, ["polling"]];

// The same person, whose calls go to another node.
const on = (node, person) => Object.assign(Object.create(Person.prototype), person, { node });
const contents = (messages) => messages.map(({ seq, content }) => `${seq} ${content}`);

describe("on three nodes", () => {
  let alice, bob, room;
  const open = [];

  const connect = async (node, person, auth, [version, transports] = WEBSOCKET) => {
    const client = await Client.connect(version, node, transports, { token: person.token, ...auth });
    open.push(client);
    return client;
  };
  const enter = async (node, person, way) => {
    const client = await connect(node, person, { chat_room_id: room }, way);
    await client.next("online_users");
    return client;
  };

  before(async () => {
    [alice, bob] = [await Person.signUp(first, "alice"), await Person.signUp(second, "bob")];
    room = await alice.createRoom();
    await bob.enter(room, alice);
  });
  after(() => open.forEach((client) => client.close()));

  test("every kind of client, spread over all nodes and the balancer, reads one order without a hole", async () => {
    const places = [...nodes, balanced];
    const crowd = await Promise.all(WAYS.map((_, index) => Person.signUp(places[index % places.length], "crowd")));
    await Promise.all(crowd.map((person) => on(balanced, person).enter(room, on(balanced, alice))));
    const clients = await Promise.all(
      places.flatMap((place, offset) => WAYS.map((way, index) => enter(place, crowd[(index + offset) % crowd.length], way))),
    );
    const texts = clients.flatMap((_, index) => Array.from({ length: 10 }, (_, number) => `${index}:${number}`));
    const answers = await Promise.all(
      clients.flatMap((client, index) => Array.from({ length: 10 }, (_, number) => client.say(`${index}:${number}`))),
    );
    assert.ok(answers.every(({ ok }) => ok));
    const seen = await Promise.all(clients.map((client) => client.messages(texts.length)));
    const order = contents(seen[0]);
    for (const other of seen) assert.deepEqual(contents(other), order);
    assert.deepEqual(seen[0].map(({ seq }) => seq), texts.map((_, index) => seen[0][0].seq + index));
    assert.deepEqual(seen[0].map(({ content }) => content).sort(), [...texts].sort());
    for (const index of clients.keys()) {
      const own = seen[0].filter(({ content }) => content.startsWith(`${index}:`)).map(({ content }) => content);
      assert.deepEqual(own, texts.filter((text) => text.startsWith(`${index}:`)), "each writer's own order");
    }
    clients.forEach((client) => client.close());
  });

  test("a retry on another node is answered with the message of the first time", async () => {
    const here = await enter(first, alice);
    const stored = await here.say("once", { client_id: "elsewhere" });
    for (const node of [second, third, balanced]) {
      const there = await enter(node, alice);
      const again = await there.say("once", { client_id: "elsewhere" });
      assert.deepEqual([again.ok, again.message.id], [true, stored.message.id]);
      const other = await there.say("something else", { client_id: "elsewhere" });
      assert.deepEqual([other.ok, other.error.code], [false, "client_id_conflict"]);
    }
  });

  test("who comes back on another node gets what they missed, once, and goes on live", async () => {
    const before = await connect(second, bob, { chat_room_id: room });
    const { seq, epoch } = await before.next("joined");
    before.close();
    const missed = [];
    for (const node of [...nodes, ...nodes]) missed.push(await on(node, alice).post(room, `missed on ${node.url}`));
    for (const [node, way] of [[third, WEBSOCKET], [first, POLLING], [balanced, POLLING]]) {
      const again = await connect(node, bob, { after: { [room]: { seq, epoch } } }, way);
      assert.deepEqual((await again.messages(missed.length)).map(({ id }) => id), missed.map(({ id }) => id));
      const live = await on(second, alice).post(room, "live again");
      assert.deepEqual((await again.messages(1)).map(({ id }) => id), [live.id]);
      missed.push(live);
      again.close();
    }
  });

  test("history pages the same on every node", async () => {
    const own = await alice.createRoom("pages");
    for (let index = 0; index < 30; index += 1) await on(nodes[index % 3], alice).post(own, `page me ${index}`);
    const pages = await Promise.all(nodes.map((node) => on(node, alice).call("GET", `/chat-rooms/${own}/messages?limit=20`)));
    for (const page of pages) assert.deepEqual(page, pages[0]);
    const older = await Promise.all(
      nodes.map((node) => on(node, alice).call("GET", `/chat-rooms/${own}/messages?limit=20&before=${pages[0][0].id}`)),
    );
    for (const page of older) assert.deepEqual(page, older[0]);
    assert.equal(new Set([...pages[0], ...older[0]].map(({ id }) => id)).size, 30);
  });

  test("a long-polling session is answered by whichever node is asked", async () => {
    const polling = await Polling.open(first);
    const at = (node) => (polling.url = polling.url.replace(/^http:\/\/[^/]+/, node.url));
    at(second);
    assert.equal(await polling.post(`40${JSON.stringify({ token: alice.token, chat_room_id: room })}`), 200);
    at(third);
    await polling.next(/^40/);
    await polling.next(/"online_users"/);
    for (const [index, node] of [second, third, first, balanced].entries()) {
      at(node);
      assert.equal(await polling.post(`42${index}["chat",{"content":"from hand to hand ${index}","message_type":"text"}]`), 200);
      at(nodes[index % 3]);
      assert.match(await polling.next(new RegExp(`^43${index}`)), /"ok":true/);
    }
  });

  test("a picture that one node took is loaded from every other", async () => {
    const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    const client = await enter(first, alice);
    const file = Buffer.from(pixel, "base64");
    const { ok, message } = await client.say("look", { message_type: "image", file_name: "pixel.png", file });
    assert.equal(ok, true);
    for (const node of [...nodes, balanced]) {
      const loaded = await fetch(node.url + message.file_path);
      assert.equal(loaded.status, 200);
      assert.deepEqual(Buffer.from(await loaded.arrayBuffer()), file);
    }
  });

  test("a user on two nodes is online until the last connection goes, for everybody on any node", async () => {
    const watchers = await Promise.all([first, third].map((node) => enter(node, alice)));
    const carol = await Person.signUp(third, "carol");
    await carol.enter(room, alice);
    const [one, other] = [await enter(second, carol), await enter(third, carol)];
    for (const watcher of watchers) await watcher.next("join", ({ username }) => username === carol.username);
    one.close();
    // Whatever the loss of the one connection led to has been told before this: the grace is a second here.
    const online = () => on(first, alice).call("GET", `/rooms-online-users?chat_room_id=${room}`);
    const end = Date.now() + 3000;
    await until("three seconds to pass with carol online", async () => {
      assert.ok((await online()).includes(carol.username), "carol has a connection to the third node");
      return Date.now() > end;
    });
    other.close();
    for (const watcher of watchers) {
      await watcher.next("leave", ({ username }) => username === carol.username);
      const more = watcher.events.filter(({ event, payload }) => ["leave", "join"].includes(event) && payload.username === carol.username);
      assert.deepEqual(more, []);
    }
  });

  test("a room that one comes into on one node begins on the sockets at another", async () => {
    const other = await alice.createRoom("comes later");
    const session = await connect(third, bob);
    await session.next("ready");
    await on(second, bob).enter(other, on(first, alice));
    const added = await session.next("member_added", ({ chat_room_id }) => chat_room_id === other);
    const message = await on(second, alice).post(other, "welcome");
    assert.equal(message.seq, added.seq + 1);
    assert.equal((await session.next("chat", ({ chat_room_id }) => chat_room_id === other)).seq, message.seq);
  });

  test("who is removed on one node hears and says nothing more on another", async () => {
    const dave = await Person.signUp(second, "dave");
    await dave.enter(room, alice);
    const [socket, session] = [await enter(third, dave), await connect(first, dave)];
    await session.next("ready");
    await on(second, alice).call("DELETE", `/chat-rooms/${room}/members/${dave.id}`);
    assert.equal(await socket.next("disconnect"), "io server disconnect");
    await session.next("member_removed", ({ chat_room_id }) => chat_room_id === room);
    const refused = await session.say("still here?", { chat_room_id: room });
    assert.equal(refused.ok, false);
    await alice.post(room, "among ourselves");
    const witness = await enter(first, alice);
    assert.equal((await witness.say("a moment later")).ok, true);
    assert.deepEqual(session.events.filter(({ event }) => event === "chat"), []);
  });

  test("logging out everywhere ends the sockets and tokens on every node", async () => {
    const erin = await Person.signUp(first, "erin");
    const sockets = await Promise.all(nodes.map((node) => connect(node, erin)));
    await Promise.all(sockets.map((socket) => socket.next("ready")));
    await on(second, erin).call("POST", "/users/me/log-out-everywhere");
    for (const socket of sockets) assert.equal(await socket.next("disconnect"), "io server disconnect");
    for (const node of nodes) {
      const answer = await fetch(`${node.url}/users/me`, { headers: { Authorization: `Bearer ${erin.token}` } });
      assert.equal(answer.status, 401);
    }
  });
});
