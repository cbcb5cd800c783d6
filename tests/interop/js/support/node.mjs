// A real natter process on free ports, in a directory of its own.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import path from "node:path";
import { until } from "./wait.mjs";

const ROOT = fileURLToPath(new URL("../../../..", import.meta.url));
const BINARY = path.resolve(ROOT, process.env.NATTER_BIN ?? "target/debug/natter");

// Tests sign up and log in far more often, from one address, than a person may.
const ENVIRONMENT = JSON.parse(readFileSync(new URL("../../environment.json", import.meta.url)));

// A cluster that runs already, behind its balancer (see ../../../cluster). Tests know no more of it than its address.
const CLUSTER = process.env.NATTER_TEST_CLUSTER_URL;

export class Node {
  static async start(environment = {}) {
    if (CLUSTER) return { url: CLUSTER, listen: new URL(CLUSTER).host, stop() {} };
    const node = new Node();
    node.directory = await mkdtemp(path.join(tmpdir(), "natter-interop-"));
    node.environment = { ...ENVIRONMENT, ...environment };
    node.listen = `127.0.0.1:${await freePort()}`;
    node.metrics = `127.0.0.1:${await freePort()}`;
    await node.run();
    return node;
  }

  get url() {
    return `http://${this.listen}`;
  }

  async run() {
    const inherited = Object.entries(process.env).filter(([name]) => !/^(NATTER_|SECRET_KEY)/.test(name));
    this.log = "";
    this.process = spawn(BINARY, ["serve", "--listen", this.listen, "--metrics-listen", this.metrics, "--data-dir", this.directory], {
      env: { ...Object.fromEntries(inherited), ...this.environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.on("data", (text) => (this.log = (this.log + text).slice(-20_000)));
    }
    await until("the node is ready", async () => {
      if (this.process.exitCode !== null) throw new Error(`natter ended with ${this.process.exitCode}:\n${this.log}`);
      return (await fetch(`${this.url}/readyz`).catch(() => undefined))?.ok;
    });
  }

  async kill(signal = "SIGKILL") {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = once(this.process, "exit");
    this.process.kill(signal);
    await ended;
  }

  async stop() {
    await this.kill();
    await rm(this.directory, { recursive: true, force: true });
  }
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}
