// Waiting is for a condition, with a deadline and with words for when it does not come.
import { setTimeout as pause } from "node:timers/promises";

export const DEADLINE_MS = 60_000;

export async function until(what, condition, deadline = DEADLINE_MS) {
  const end = Date.now() + deadline;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ${deadline} ms in vain: ${what}`);
    await pause(20);
  }
}

export function within(what, promise, deadline = DEADLINE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${deadline} ms in vain: ${what}`)), deadline);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
