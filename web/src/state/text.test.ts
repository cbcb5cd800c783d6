import { describe, expect, it } from 'vitest';
import { initials, isBigEmoji, pieces, roomIdIn } from './text.ts';

const links = (text: string) => pieces(text).flatMap((piece) => ('href' in piece ? [piece.href] : []));

describe('pieces', () => {
  it('finds links and leaves the sentence around them', () => {
    expect(pieces('see https://a.example/x, please')).toEqual([
      { text: 'see ' },
      { text: 'https://a.example/x', href: 'https://a.example/x' },
      { text: ', please' },
    ]);
    expect(links('(https://a.example/b_(c)) www.example.org.')).toEqual(['https://a.example/b_(c)', 'https://www.example.org/']);
  });

  it('makes no link of anything that could run', () => {
    expect(links('javascript:alert(1) data:text/html,x <b>https://</b> HTTP://[')).toEqual([]);
  });

  it('loses no character', () => {
    for (const text of ['', 'a', 'x https://e.org y www.e.org', 'https://e.org']) {
      expect(pieces(text).map((piece) => piece.text).join('')).toBe(text);
    }
  });
});

describe('small rules', () => {
  it('shows up to three emoji large, and no digits', () => {
    expect(['👍', '👩‍👩‍👧 🎉', '🇩🇪', '👍👍👍👍', 'ok 👍', '123', '#'].map(isBigEmoji)).toEqual([true, true, true, false, false, false, false]);
  });

  it('reads a room id from a link or as it is', () => {
    const id = '0123456789abcdef01234567';
    expect([id, ` https://chat.example/rooms/${id}/messages/1 `, 'hello'].map(roomIdIn)).toEqual([id, id, null]);
  });

  it('makes initials', () => {
    expect(['ada lovelace', 'bo', 'émile', ''].map(initials)).toEqual(['AL', 'B', 'É', '?']);
  });
});
