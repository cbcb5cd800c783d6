import { describe, expect, it } from 'vitest';
import { Rows } from './rows.ts';

const keys = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => `k${from + n}`);

describe('Rows', () => {
  it('keeps measured heights when rows come in front and behind', () => {
    const rows = new Rows(10);
    rows.set(keys(5, 10));
    rows.measure(0, 50);
    rows.measure(4, 30);
    rows.set(keys(0, 12));
    expect(rows.offset(6) - rows.offset(5)).toBe(50);
    expect(rows.offset(10) - rows.offset(9)).toBe(30);
    expect(rows.total).toBe(10 * 10 + 50 + 30);
  });

  it('finds the row at a height', () => {
    const rows = new Rows(10);
    rows.set(keys(0, 4));
    rows.measure(1, 100);
    expect([0, 9, 10, 109, 110, 1_000].map((y) => rows.at(y))).toEqual([0, 0, 1, 1, 2, 3]);
  });

  it('follows a row that moves', () => {
    const rows = new Rows(10);
    rows.set(['a', 'b', 'c']);
    rows.measure(2, 40);
    rows.set(['a', 'c', 'b', 'd']);
    expect(rows.offset(2) - rows.offset(1)).toBe(40);
    expect(rows.total).toBe(70);
  });

  it('takes 50,000 rows in a moment', () => {
    const rows = new Rows();
    rows.set(keys(0, 50_000));
    let best = Infinity; // Of ten, for the machine may be busy: what grows with the square takes seconds each time.
    for (let n = 0; n < 10; n += 1) {
      const begun = performance.now();
      rows.set(keys(0, 50_000 + n));
      rows.measure(n * 100, 80);
      expect(rows.total).toBeGreaterThan(3_000_000);
      best = Math.min(best, performance.now() - begun);
    }
    expect(best).toBeLessThan(500);
  });
});
