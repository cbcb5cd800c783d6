// Engine.IO and Socket.IO by hand, for what no library would send.
import { once } from "node:events";
import WebSocket from "ws";
import { until, within } from "./wait.mjs";

const SEPARATOR = "\u001e";

// Long polling, protocol v4 (EIO=4) unless told otherwise.
export class Polling {
  static async open(node, eio = 4) {
    const polling = new Polling();
    polling.endpoint = `${node.url}/socket.io/?EIO=${eio}&transport=polling`;
    const answer = await fetch(polling.endpoint);
    polling.status = answer.status;
    polling.text = await answer.text();
    polling.handshake = JSON.parse(polling.text.match(/\{.*?\}/)[0]);
    polling.url = `${polling.endpoint}&sid=${polling.handshake.sid}`;
    polling.packets = [];
    return polling;
  }

  async post(...packets) {
    const answer = await fetch(this.url, { method: "POST", body: packets.join(SEPARATOR), headers: { "Content-Type": "text/plain" } });
    await answer.text();
    return answer.status;
  }

  // Polls until a packet matches; pings are answered by the way.
  async next(pattern) {
    return until(`a packet like ${pattern}`, async () => {
      const index = this.packets.findIndex((packet) => pattern.test(packet));
      if (index >= 0) return this.packets.splice(index, 1)[0];
      const answer = await within("a poll", fetch(this.url));
      if (answer.status !== 200) throw new Error(`the poll was answered with ${answer.status}`);
      for (const packet of (await answer.text()).split(SEPARATOR)) {
        if (packet === "2") await this.post("3");
        this.packets.push(packet);
      }
      return undefined;
    });
  }
}

export class Socket {
  static async open(node, query = "EIO=4&transport=websocket") {
    const socket = new Socket();
    socket.packets = [];
    socket.ws = new WebSocket(`${node.url.replace("http", "ws")}/socket.io/?${query}`);
    socket.ws.on("message", (data, binary) => {
      const packet = binary ? data : data.toString();
      socket.packets.push(packet);
      if (packet === "2") socket.ws.send("3");
    });
    socket.closed = new Promise((done) => socket.ws.once("close", (code) => done(code)));
    socket.ws.on("error", () => {});
    await within("the WebSocket to open", Promise.race([
      once(socket.ws, "open"),
      once(socket.ws, "unexpected-response").then(([, answer]) => {
        throw new Error(`answered with ${answer.statusCode}`);
      }),
    ]));
    return socket;
  }

  // Open, and connected to the namespace as `auth` says; `answer` holds the CONNECT or its refusal.
  static async connect(node, auth) {
    const socket = await Socket.open(node);
    socket.send(`40${JSON.stringify(auth)}`);
    socket.answer = await socket.next(/^4[04]/);
    return socket;
  }

  send(...packets) {
    for (const packet of packets) this.ws.send(packet);
  }

  next(pattern) {
    return until(`a packet like ${pattern}, not ${this.packets.slice(-3)}`, () => {
      const index = this.packets.findIndex((packet) => typeof packet === "string" && pattern.test(packet));
      return index < 0 ? undefined : this.packets.splice(index, 1)[0];
    });
  }

  async isClosed() {
    await within("the server to close the connection", this.closed);
  }

  close() {
    this.ws.terminate();
  }
}
