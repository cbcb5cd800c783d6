/** Turning a message's text into pieces to show. Nothing here makes HTML. */
export type Piece = { text: string } | { text: string; href: string };

const LINK = /\b(?:https?:\/\/|www\.)[^\s<>"'`]+/giu;
/** What a sentence puts behind a link, not the link itself. */
const TRAILING = /[.,;:!?…'"»”’]+$/u;

/** The text cut at its links; only http and https become links. */
export function pieces(text: string): Piece[] {
  const found: Piece[] = [];
  let end = 0;
  for (const match of text.matchAll(LINK)) {
    const link = trimLink(match[0]);
    const href = hrefOf(link);
    if (!href) continue;
    if (match.index > end) found.push({ text: text.slice(end, match.index) });
    found.push({ text: link, href });
    end = match.index + link.length;
  }
  if (end < text.length) found.push({ text: text.slice(end) });
  return found;
}

function trimLink(link: string): string {
  let trimmed = link.replace(TRAILING, '');
  while (/[)\]}]$/.test(trimmed) && !isBalanced(trimmed)) trimmed = trimmed.slice(0, -1).replace(TRAILING, '');
  return trimmed;
}

function isBalanced(text: string): boolean {
  return ['()', '[]', '{}'].every(([open, close]) => text.split(open as string).length >= text.split(close as string).length);
}

function hrefOf(link: string): string | null {
  try {
    const url = new URL(link.startsWith('www.') ? `https://${link}` : link);
    return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : null;
  } catch {
    return null;
  }
}

/** Whether a message is nothing but one to three emoji, to be shown large. */
export function isBigEmoji(text: string): boolean {
  const bare = text.trim();
  if (!bare || bare.length > 40 || !/^[\p{Extended_Pictographic}\p{Emoji_Component}\s]+$/u.test(bare)) return false;
  if (!/\p{Extended_Pictographic}|\p{Regional_Indicator}/u.test(bare)) return false;
  return [...new Intl.Segmenter().segment(bare.replace(/\s/g, ''))].length <= 3;
}

/** The room id in a link to a room of this server, or in what is one. */
export function roomIdIn(text: string): string | null {
  const bare = text.trim();
  const link = /\/rooms\/([^/?#\s]+)/.exec(bare);
  if (link?.[1]) return link[1];
  return /^[0-9a-f]{24}$/i.test(bare) ? bare : null;
}

/** One or two letters that stand for a name. */
export function initials(name: string): string {
  const words = name.trim().split(/[\s._\-+]+/u).filter(Boolean);
  const letters = (words.length > 1 ? [words[0], words[words.length - 1]] : [words[0]]).map((word) => first(word ?? '?'));
  return letters.join('').toLocaleUpperCase();
}

function first(word: string): string {
  for (const { segment } of new Intl.Segmenter().segment(word)) return segment;
  return '?';
}

/** One of 12 colours, always the same for the same name. */
export function hue(name: string): number {
  let sum = 7;
  for (const char of name) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) % 9_973;
  return sum % 12;
}
