// The README's two programs, as printed there: they chat with each other, also across a killed server.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Node } from "./support/node.mjs";
import { until } from "./support/wait.mjs";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const PYTHON = path.join(ROOT, "target/venv/bin/python");

let node, directory;
const running = [];
before(async () => {
  const readme = await readFile(path.join(ROOT, "README.md"), "utf8");
  const program = (language) => readme.match(new RegExp("```" + language + "\n(.*?)```", "s"))[1];
  directory = await mkdtemp(path.join(tmpdir(), "natter-readme-"));
  await writeFile(path.join(directory, "chat.mjs"), program("js"));
  await writeFile(path.join(directory, "chat.py"), program("python"));
  await symlink(path.join(ROOT, "tests/interop/node_modules"), path.join(directory, "node_modules"));
  node = await Node.start();
});
after(async () => {
  for (const { process } of running) process.kill("SIGKILL");
  await node.stop();
  await rm(directory, { recursive: true, force: true });
});

// A program at work: what it printed, line by line, and what is typed into it.
function run(...command) {
  const program = { process: spawn(command[0], command.slice(1), { cwd: directory }), text: "", errors: "" };
  program.process.stdout.on("data", (text) => (program.text += text));
  program.process.stderr.on("data", (text) => (program.errors += text));
  program.type = (line) => program.process.stdin.write(`${line}\n`);
  program.prints = (pattern) =>
    until(`${command[1]} to print ${pattern}; it printed ${JSON.stringify(program.text + program.errors)}`, () => {
      if (program.process.exitCode !== null) throw new Error(`${command[1]} ended: ${program.errors}`);
      return program.text.match(pattern);
    });
  running.push(program);
  return program;
}

test("the client of the README is 20 lines", async () => {
  const lines = (await readFile(path.join(directory, "chat.mjs"), "utf8")).split("\n").filter((line) => line.trim() !== "");
  assert.equal(lines.length, 20);
});

test("alice in JavaScript and bob in Python chat, and go on when the server was killed", async () => {
  const alice = run(process.execPath, "chat.mjs", "alice", node.url);
  const [, room] = await alice.prints(/^room (\S+)$/m);
  const bob = run(PYTHON, "chat.py", "bob", room, node.url);
  bob.type("hello from Python");
  await alice.prints(/^bob: hello from Python$/m);
  alice.type("hello from JavaScript");
  await bob.prints(/^alice: hello from JavaScript$/m);

  await node.kill();
  alice.type("typed while the server was dead");
  await node.run();
  await bob.prints(/^alice: typed while the server was dead$/m);
  bob.type("welcome back");
  await alice.prints(/^bob: welcome back$/m);

  for (const program of [alice, bob]) {
    const lines = program.text.split("\n").filter((line) => /^(alice|bob): /.test(line));
    assert.deepEqual(lines, [
      "bob: hello from Python",
      "alice: hello from JavaScript",
      "alice: typed while the server was dead",
      "bob: welcome back",
    ]);
  }
});
