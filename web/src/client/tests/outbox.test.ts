import { beforeEach, describe, expect, it, vi } from 'vitest';
import { NatterError } from '../errors.ts';
import { MemoryOutboxStore, Outbox } from '../outbox.ts';
import type { Message } from '../types.ts';

const FILE = new File(['a picture'], 'roof.png', { type: 'image/png' });
const DRAFT = { content: '', message_type: 'image', file: FILE } as const;

/** A way to the server that is there or not, and whose uploads end as told. */
class FakeCourier {
  isReady = true;
  sent: (string | undefined)[] = [];
  /** How the next uploads fail; then they succeed. */
  failures: NatterError[] = [];
  uploads = 0;

  ready(): boolean {
    return this.isReady;
  }

  async send(_room: string, draft: { attachment_id?: string }): Promise<Message> {
    this.sent.push(draft.attachment_id);
    return {} as Message;
  }

  async upload(): Promise<string> {
    this.uploads += 1;
    const failure = this.failures.shift();
    if (failure) throw failure;
    return `attachment ${this.uploads}`;
  }
}

describe('a file in the outbox', () => {
  let courier: FakeCourier;
  let outbox: Outbox;
  beforeEach(() => {
    courier = new FakeCourier();
    outbox = new Outbox(courier, new MemoryOutboxStore());
  });

  const sent = () => expect.poll(() => courier.sent, { timeout: 8_000 });

  it('waits for a connection where there is none', async () => {
    courier.isReady = false;
    const entry = outbox.add('tea', DRAFT);
    expect([entry.state, courier.uploads, outbox.holdsFiles]).toEqual(['uploading', 0, true]);
    courier.isReady = true;
    outbox.flush();
    await sent().toEqual(['attachment 1']);
    expect([outbox.size, outbox.holdsFiles]).toEqual([0, false]);
  });

  it('is uploaded again when the server goes in the middle of it', async () => {
    courier.failures = [new NatterError('offline', 'The upload was interrupted.')];
    outbox.add('tea', DRAFT);
    // The upload hears of it before the socket does, or after: both ways lead on.
    courier.isReady = false;
    await expect.poll(() => courier.uploads).toBe(1);
    courier.isReady = true;
    outbox.flush();
    await sent().toEqual(['attachment 2']);
  });

  it('fails visibly after three tries with a connection, and can be sent again', async () => {
    courier.failures = Array.from({ length: 3 }, () => new NatterError('offline', 'The upload was interrupted.'));
    const entry = outbox.add('tea', DRAFT);
    await expect.poll(() => entry.state, { timeout: 8_000 }).toBe('failed');
    expect([courier.uploads, entry.error?.code, outbox.holdsFiles]).toEqual([3, 'offline', true]);
    outbox.retry(entry.client_id);
    await sent().toEqual(['attachment 4']);
  });

  it('fails at once where another try would change nothing', async () => {
    courier.failures = [new NatterError('too_large', 'That is too large.')];
    const entry = outbox.add('tea', DRAFT);
    await expect.poll(() => entry.state).toBe('failed');
    expect(courier.uploads).toBe(1);
  });

  it('that is given up between two tries is not uploaded again', async () => {
    vi.useFakeTimers();
    try {
      courier.failures = [new NatterError('offline', 'The upload was interrupted.')];
      const entry = outbox.add('tea', DRAFT);
      await vi.advanceTimersByTimeAsync(0);
      outbox.discard(entry.client_id);
      await vi.advanceTimersByTimeAsync(60_000);
      expect([courier.uploads, outbox.size]).toEqual([1, 0]);
    } finally {
      vi.useRealTimers();
    }
  });
});
