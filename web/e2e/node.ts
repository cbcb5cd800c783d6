/** A real natter node with a data folder of its own, on a free port that it keeps over a restart. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const BINARY = process.env['NATTER_BIN'] ?? join(import.meta.dirname, '../../target/debug/natter');
const DEADLINE = 30_000;

export class TestNode {
  readonly port: number;
  readonly #dir: string;
  readonly #env: Record<string, string>;
  #process: ChildProcess | null = null;
  #log = '';

  private constructor(port: number, dir: string, env: Record<string, string>) {
    this.port = port;
    this.#dir = dir;
    this.#env = env;
  }

  /** Starts a node; `env` are settings beside cheap passwords and no limits. */
  static async start(env: Record<string, string> = {}): Promise<TestNode> {
    const node = new TestNode(await freePort(), await mkdtemp(join(tmpdir(), 'natter-e2e-')), env);
    await node.up();
    return node;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts the process and waits until it is ready. */
  async up(): Promise<void> {
    this.#process = spawn(BINARY, ['serve', '--listen', `127.0.0.1:${this.port}`, '--metrics-listen', 'off', '--data-dir', this.#dir], {
      env: {
        PATH: process.env['PATH'] ?? '',
        NATTER_AUTH_BCRYPT_COST: '4',
        NATTER_LIMITS_LOGINS_PER_MINUTE: '0',
        NATTER_LIMITS_SIGNUPS_PER_MINUTE: '0',
        NATTER_LIMITS_MESSAGES_PER_SECOND: '0',
        ...this.#env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const keep = (chunk: Buffer) => (this.#log = (this.#log + String(chunk)).slice(-20_000));
    this.#process.stdout?.on('data', keep);
    this.#process.stderr?.on('data', keep);
    const end = Date.now() + DEADLINE;
    while (Date.now() < end) {
      if (this.#process.exitCode !== null) break;
      const answer = await fetch(`${this.url}/readyz`).catch(() => null);
      if (answer?.ok) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`the node did not become ready:\n${this.#log}`);
  }

  /** Ends the process as `kill -9` does, or with another signal. */
  async down(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const process = this.#process;
    this.#process = null;
    if (!process || process.exitCode !== null || process.signalCode !== null) return;
    const ended = once(process, 'exit');
    process.kill(signal);
    await ended;
  }

  /** Ends the process and removes its data. */
  async remove(): Promise<void> {
    await this.down();
    await rm(this.#dir, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
