// People, and what they do over HTTP.
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";

let count = 0;

export class Person {
  static async signUp(node, name = "person") {
    const person = new Person();
    person.node = node;
    person.username = `${name}-${process.pid}-${++count}`;
    person.email = `${person.username}@example.org`;
    const { username, email } = person;
    const password = "correct horse battery";
    person.user = await person.call("POST", "/signup", { email, username, password });
    const form = new URLSearchParams({ username, password });
    const answer = await fetch(`${node.url}/token`, { method: "POST", body: form });
    assert.equal(answer.status, 200);
    person.token = (await answer.json()).access_token;
    return person;
  }

  get id() {
    return this.user.id;
  }

  // The JSON of a successful answer; `undefined` for one without a body. A server that is busy is asked again when it says.
  async call(method, path, body) {
    const answer = await fetch(this.node.url + path, {
      method,
      headers: {
        ...(this.token && { Authorization: `Bearer ${this.token}` }),
        ...(body !== undefined && { "Content-Type": "application/json" }),
      },
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    if (answer.status === 503) {
      await pause(1000 * Number(answer.headers.get("retry-after")));
      return this.call(method, path, body);
    }
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  async createRoom(name = "a room") {
    const { chat_room } = await this.call("POST", "/chat-rooms", { name });
    return chat_room.id;
  }

  // Asks to come in, and `owner` lets them.
  async enter(room, owner) {
    const request = await this.call("POST", "/join-request", { chat_room_id: room });
    await owner.call("POST", "/handle-join-request", { join_request_id: request.id, approval_status: true });
  }

  post(room, content, more = {}) {
    return this.call("POST", `/chat-rooms/${room}/messages`, { content, ...more });
  }
}
