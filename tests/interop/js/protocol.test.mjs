// Engine.IO and Socket.IO below the libraries: what the protocols' own suites ask of a server, as far as it can
// be seen at this service's one namespace, and packets that no library sends.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Node } from "./support/node.mjs";
import { Person } from "./support/people.mjs";
import { Polling, Socket } from "./support/wire.mjs";

let node, alice, room;
before(async () => {
  node = await Node.start();
  alice = await Person.signUp(node, "alice");
  room = await alice.createRoom();
});
after(() => node.stop());

const auth = () => ({ token: alice.token, chat_room_id: room });
const chat = (content) => JSON.stringify(["chat", { content, message_type: "text" }]);
const contents = async () => (await alice.call("GET", `/chat-rooms/${room}/messages`)).map(({ content }) => content);

describe("Engine.IO, handshake", () => {
  const checked = ({ sid, pingInterval, pingTimeout, maxPayload }) => {
    assert.equal(typeof sid, "string");
    assert.ok(pingInterval > 0 && pingTimeout > 0 && maxPayload > 0);
  };

  test("by polling: one open packet that offers the upgrade", async () => {
    const polling = await Polling.open(node);
    assert.equal(polling.status, 200);
    assert.match(polling.text, /^0\{/);
    checked(polling.handshake);
    assert.deepEqual(polling.handshake.upgrades, ["websocket"]);
  });

  test("by polling, version 3: the packet carries its length", async () => {
    const polling = await Polling.open(node, 3);
    assert.equal(polling.status, 200);
    assert.match(polling.text, /^\d+:0\{/);
  });

  test("by WebSocket: the first frame is the open packet, without an upgrade", async () => {
    const socket = await Socket.open(node);
    const handshake = JSON.parse((await socket.next(/^0/)).slice(1));
    checked(handshake);
    assert.deepEqual(handshake.upgrades, []);
    socket.close();
  });

  const refused = {
    "an unknown transport": ["GET", "EIO=4&transport=abc"],
    "no transport": ["GET", "EIO=4"],
    "no version": ["GET", "transport=polling"],
    "an unknown version": ["GET", "EIO=99&transport=polling"],
    "a version that is no number": ["GET", "EIO=abc&transport=polling"],
    "an unknown sid": ["GET", "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA"],
    "a sid that could not be one": ["GET", "EIO=4&transport=polling&sid=abc"],
    "a sid of ten thousand characters": ["GET", `EIO=4&transport=polling&sid=${"a".repeat(10_000)}`],
    "an unknown sid, posting": ["POST", "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA"],
    "a post without a sid": ["POST", "EIO=4&transport=polling"],
    "another method": ["PUT", "EIO=4&transport=polling"],
    "WebSocket without its headers": ["GET", "EIO=4&transport=websocket"],
  };
  for (const [what, [method, query]] of Object.entries(refused)) {
    test(`${what} is 4xx`, async () => {
      const answer = await fetch(`${node.url}/socket.io/?${query}`, { method });
      assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status}`);
      assert.ok(!/panick|\.rs|stack/i.test(await answer.text()));
    });
  }

  test("a WebSocket with an unknown version, or a foreign sid, is refused or closed", async () => {
    for (const query of ["EIO=99&transport=websocket", "EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAAA", "transport=websocket"]) {
      const socket = await Socket.open(node, query).catch(() => undefined);
      if (socket) await socket.isClosed();
    }
  });
});

describe("Engine.IO, the connection", () => {
  test("pings are asked and answered, and packets of one payload are taken in order", async () => {
    const polling = await Polling.open(node);
    assert.equal(await polling.post(`40${JSON.stringify(auth())}`), 200);
    await polling.next(/^40/);
    await polling.next(/^42\["joined"/);
    assert.equal(await polling.post(`421${chat("first")}`, `422${chat("second")}`, `423${chat("third")}`), 200);
    const acks = [await polling.next(/^43\d/), await polling.next(/^43\d/), await polling.next(/^43\d/)];
    const seqs = acks.map((ack) => JSON.parse(ack.slice(3))[0].message.seq);
    assert.deepEqual(seqs, [seqs[0], seqs[0] + 1, seqs[0] + 2]);
    assert.deepEqual((await contents()).slice(-3), ["first", "second", "third"]);
  });

  test("a poll beside a poll closes the session", async () => {
    const polling = await Polling.open(node);
    await polling.next(/^2/);
    const [one, two] = await Promise.all([fetch(polling.url), fetch(polling.url)]);
    assert.ok([one.status, two.status].includes(400), `${one.status} ${two.status}`);
  });

  test("a malformed payload is 400 and ends the session", async () => {
    const polling = await Polling.open(node);
    assert.equal(await polling.post("abc"), 400);
    assert.equal((await fetch(polling.url)).status, 400);
  });

  test("a malformed payload of version 3 is 400 and ends the session", async () => {
    for (const body of ["abc", "99:4", "-1:4", ":", "4", "99999999999999999999:4", "1:9", new Uint8Array([0, 9, 9, 255, 52])]) {
      const polling = await Polling.open(node, 3);
      const headers = { "Content-Type": typeof body === "string" ? "text/plain" : "application/octet-stream" };
      const answer = await fetch(polling.url, { method: "POST", body, headers });
      assert.equal(answer.status, 400, `${body}`);
      assert.equal((await fetch(polling.url)).status, 400);
    }
    assert.equal((await fetch(`${node.url}/livez`)).status, 200);
  });

  test("a payload over the limit is 413, and the server lives on", async () => {
    const polling = await Polling.open(node);
    await polling.post(`40${JSON.stringify(auth())}`);
    await polling.next(/^42\["online_users"/);
    const body = "4".repeat(polling.handshake.maxPayload + 1);
    // The server need not read what it refuses; a client that is still sending then sees the connection go.
    const answer = await fetch(polling.url, { method: "POST", body }).catch(({ cause }) => cause);
    assert.ok(answer.status === 413 || ["ECONNRESET", "EPIPE"].includes(answer.code), `${answer.status} ${answer.code}`);
    assert.equal((await fetch(`${node.url}/livez`)).status, 200);
  });

  test("a client's close packet ends the session", async () => {
    const polling = await Polling.open(node);
    await polling.post("1");
    assert.equal((await fetch(polling.url)).status, 400);
    const socket = await Socket.open(node);
    socket.send("1");
    await socket.isClosed();
  });

  test("the upgrade: probed, taken, and the waiting poll is let go", async () => {
    const polling = await Polling.open(node);
    await polling.post(`40${JSON.stringify(auth())}`);
    await polling.next(/^40/);
    await polling.next(/^42\["online_users"/);
    const waiting = fetch(polling.url);
    const socket = await Socket.open(node, `EIO=4&transport=websocket&sid=${polling.handshake.sid}`);
    socket.send("2probe");
    await socket.next(/^3probe$/);
    socket.send("5");
    assert.equal((await waiting).status, 200);
    socket.send(`427${chat("upgraded")}`);
    assert.match(await socket.next(/^437/), /"ok":true/);
    socket.close();
  });

  for (const packet of ["abc", "9", "", "4abc", "42", "42{", "42[]", "42[1]", "420[", "4", "43[]", "49", "2x\u0000", "42/nowhere,[\"chat\"]"]) {
    test(`the WebSocket packet ${JSON.stringify(packet)} does no harm`, async () => {
      const socket = await Socket.connect(node, auth());
      const before = (await contents()).length;
      socket.send(packet);
      const other = await Socket.connect(node, auth());
      other.send(`421["typing",{"is_typing":false}]`);
      assert.match(await other.next(/^431/), /"ok":true/);
      assert.equal((await contents()).length, before);
      socket.close();
      other.close();
    });
  }
});

describe("Socket.IO, connecting", () => {
  test("with a token: CONNECT carries the sid, joined comes first", async () => {
    const socket = await Socket.connect(node, auth());
    assert.match(JSON.parse(socket.answer.slice(2)).sid, /./);
    await socket.next(/^42\["joined"/);
    socket.close();
  });

  for (const [what, payload] of Object.entries({
    nothing: "",
    "an empty object": "{}",
    "a token that is a number": '{"token":1}',
    "a token that is an object": '{"token":{"$gt":""}}',
    "an array": "[]",
    "a string": '"token"',
    "null": "null",
  })) {
    test(`with ${what} instead of a token: refused`, async () => {
      const socket = await Socket.open(node);
      socket.send(`40${payload}`);
      const refusal = await socket.next(/^44/);
      assert.match(JSON.parse(refusal.slice(2)).message, /^(unauthorized|invalid): ./);
      socket.close();
    });
  }

  for (const [what, id, code] of [
    ["a number", 5, "invalid"],
    ["an object", { $ne: null }, "invalid"],
    ["no id at all", "../../etc", "invalid"],
    ["an unknown id", "0".repeat(24), "not_found"],
  ]) {
    test(`to a room that is ${what}: ${code}`, async () => {
      const socket = await Socket.connect(node, { token: alice.token, chat_room_id: id });
      assert.match(socket.answer, new RegExp(`^44\\{"message":"${code}: `));
      socket.close();
    });
  }

  test("a token in the query string is not looked at", async () => {
    const socket = await Socket.open(node, `EIO=4&transport=websocket&token=${alice.token}&access_token=${alice.token}`);
    socket.send("40");
    await socket.next(/^44.*unauthorized/);
    socket.close();
  });

  test("to a namespace that is not there: refused", async () => {
    for (const namespace of ["/custom", "/admin", "/../", "/%00"]) {
      const socket = await Socket.open(node);
      socket.send(`40${namespace},${JSON.stringify(auth())}`);
      await socket.next(/^44/);
      socket.close();
    }
  });

  test("an event before CONNECT stores nothing and ends or is ignored", async () => {
    const before = await contents();
    const socket = await Socket.open(node);
    socket.send(`421${chat("before connect")}`);
    socket.send(`42/custom,1${chat("elsewhere")}`);
    const other = await Socket.connect(node, auth());
    other.send(`421["typing",{"is_typing":false}]`);
    await other.next(/^431/);
    assert.deepEqual(await contents(), before);
    socket.close();
    other.close();
  });
});

describe("Socket.IO, events", () => {
  test("the ack carries the event's own number, large ones as well", async () => {
    const socket = await Socket.connect(node, auth());
    for (const id of [0, 1, 456, 2_147_483_647]) {
      socket.send(`42${id}${chat(`ack ${id}`)}`);
      const ack = await socket.next(new RegExp(`^43${id}\\[`));
      assert.equal(JSON.parse(ack.slice(2 + String(id).length))[0].message.content, `ack ${id}`);
    }
    socket.close();
  });

  test("an event without an ack is stored as well", async () => {
    const socket = await Socket.connect(node, auth());
    socket.send(`42${chat("no ack")}`);
    await socket.next(/^42\["chat".*no ack/);
    socket.close();
  });

  test("a binary event waits for its attachment", async () => {
    const socket = await Socket.connect(node, auth());
    const file = { _placeholder: true, num: 0 };
    socket.send(`451-8["chat",{"content":"bytes","message_type":"file","file_name":"a.bin","file":${JSON.stringify(file)}}]`);
    socket.send(Buffer.from([1, 2, 3, 4]));
    const ack = JSON.parse((await socket.next(/^438/)).slice(3))[0];
    assert.equal(ack.ok, true, JSON.stringify(ack));
    const stored = await fetch(node.url + ack.message.file_path);
    assert.deepEqual(new Uint8Array(await stored.arrayBuffer()), new Uint8Array([1, 2, 3, 4]));
    socket.close();
  });

  const malformed = {
    "without the dash": ['45["chat",{}]'],
    "with a count and no attachment, then another event": ['451-1["chat",{}]', `42${chat("x")}`],
    "with a count beyond all bounds": ['4599999999-["chat",{}]'],
    "with a placeholder that nobody announced": ['450-1["chat",{"content":"a","message_type":"file","file":{"_placeholder":true,"num":0}}]'],
    "with a placeholder of a huge number": ['451-1["chat",{"content":"a","message_type":"file","file":{"_placeholder":true,"num":1e308}}]', Buffer.from([1])],
    "with more attachments than one": ['452-1["chat",{"content":"a","message_type":"file","file":[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]}]', Buffer.from([1]), Buffer.from([2])],
    "with an attachment that is none": [Buffer.from([1, 2, 3])],
  };
  for (const [what, packets] of Object.entries(malformed)) {
    test(`a binary event ${what} stores nothing, and the server lives on`, async () => {
      const before = await contents();
      const socket = await Socket.connect(node, auth());
      socket.send(...packets);
      const other = await Socket.connect(node, auth());
      other.send(`421["typing",{"is_typing":false}]`);
      await other.next(/^431/);
      socket.close();
      other.close();
      assert.deepEqual((await contents()).filter((content) => content !== "x"), before.filter((content) => content !== "x"));
    });
  }

  for (const [what, packet] of Object.entries({
    "an array without end": `42["chat",${"[".repeat(100_000)}`,
    "an object without end": `42["chat",${'{"a":'.repeat(50_000)}`,
    "a depth that closes": `42["chat",${"[".repeat(50_000)}${"]".repeat(50_000)}]`,
    "half a character": '42["chat",{"content":"\\ud800","message_type":"text"}]',
    "a name of a megabyte": `42["${"a".repeat(1_000_000)}",{}]`,
    "an ack number beyond all bounds": `42${"9".repeat(1000)}["chat",{}]`,
    "more arguments than one": '428["chat",{"content":"a","message_type":"text"},{"content":"b"},3,4]',
  })) {
    test(`an event with ${what} leaves the server as it was`, async () => {
      const socket = await Socket.connect(node, auth());
      socket.send(packet);
      const other = await Socket.connect(node, auth());
      other.send('421["typing",{"is_typing":false}]');
      assert.match(await other.next(/^431/), /"ok":true/);
      socket.close();
      other.close();
    });
  }

  test("an unknown event is refused in its ack", async () => {
    const socket = await Socket.connect(node, auth());
    socket.send('429["no_such_event",{}]');
    const { ok, error } = JSON.parse((await socket.next(/^439/)).slice(3))[0];
    assert.deepEqual([ok, error.code], [false, "invalid"]);
    socket.close();
  });

  test("DISCONNECT takes the user out of the room", async () => {
    const watcher = await Socket.connect(node, auth());
    const bob = await Person.signUp(node, "bob");
    await bob.enter(room, alice);
    const socket = await Socket.connect(node, { token: bob.token, chat_room_id: room });
    await watcher.next(new RegExp(`^42\\["join".*${bob.username}`));
    socket.send("41");
    await watcher.next(new RegExp(`^42\\["leave".*${bob.username}`));
    watcher.close();
    socket.close();
  });
});
