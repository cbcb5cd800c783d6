/** HTTP with tokens, errors as {@link NatterError}, and paging by `Link`. */
import { asNatterError, NatterError } from './errors.ts';
import type { ErrorBody } from './wire.ts';

export interface Call {
  query?: Record<string, string | number | boolean | undefined>;
  json?: unknown;
  form?: Record<string, string>;
  body?: FormData;
  /** Without a token when `false`. */
  auth?: boolean;
  signal?: AbortSignal;
}

/** Milliseconds for a call and its answer; uploads take as long as they take. */
const DEADLINE = 30_000;

/** One page of a list. `next` is null on the last. */
export interface Page<T> {
  items: T[];
  next: string | null;
}

/** What {@link Http} needs to know of the token. */
export interface TokenSource {
  /** A token with some life left, or null when nobody is signed in. */
  fresh(): Promise<string | null>;
  /** A newer one than `refused`, or null when the session is over. */
  replace(refused: string): Promise<string | null>;
}

export class Http {
  readonly base: string;
  #tokens: TokenSource | null = null;

  /** `base` is the server's origin, without a slash at its end; empty for the page's own. */
  constructor(base: string) {
    this.base = base.replace(/\/$/, '');
  }

  /** Where tokens come from. Set once, by who makes both. */
  useTokens(tokens: TokenSource): void {
    this.#tokens = tokens;
  }

  /** The token for a call that is made elsewhere (an upload with progress). */
  async token(): Promise<string> {
    const token = await this.#tokens?.fresh();
    if (!token) throw new NatterError('unauthorized', 'Nobody is signed in.');
    return token;
  }

  url(path: string, query: Call['query'] = {}): string {
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) search.set(name, String(value));
    }
    const text = search.toString();
    return this.base + path + (text ? (path.includes('?') ? '&' : '?') + text : '');
  }

  /** The answer's JSON; undefined for an empty one. */
  async call<T>(method: string, path: string, call: Call = {}): Promise<T> {
    return (await this.#answer(method, path, call)).data as T;
  }

  /** One call with exactly this token, without renewing it; given up after `deadline` milliseconds. */
  async bare<T>(method: string, path: string, token: string, deadline: number): Promise<T> {
    return (await this.#send(method, path, {}, token, deadline)).data as T;
  }

  /** One page of a list; `path` may be the `next` of the page before. */
  async page<T>(method: string, path: string, call: Call = {}): Promise<Page<T>> {
    const { data, headers } = await this.#answer(method, path, call);
    return { items: data as T[], next: nextLink(headers.get('link')) };
  }

  /** A whole list, page by page; at most `most` entries. */
  async all<T>(method: string, path: string, call: Call = {}, most = 5_000): Promise<T[]> {
    const items: T[] = [];
    let page = await this.page<T>(method, path, { ...call, query: { limit: 500, ...call.query } });
    items.push(...page.items);
    while (page.next && items.length < most) {
      const { query: _, ...rest } = call;
      page = await this.page<T>(method, page.next, rest);
      items.push(...page.items);
    }
    return items;
  }

  async #answer(method: string, path: string, call: Call): Promise<{ data: unknown; headers: Headers }> {
    if (call.auth === false) return this.#send(method, path, call, null);
    const token = await this.token();
    try {
      return await this.#send(method, path, call, token);
    } catch (error) {
      if (!(error instanceof NatterError) || error.status !== 401) throw error;
      const newer = await this.#tokens?.replace(token);
      if (!newer) throw error;
      return this.#send(method, path, call, newer);
    }
  }

  async #send(method: string, path: string, call: Call, token: string | null, deadline = DEADLINE) {
    const headers: Record<string, string> = { accept: 'application/json' };
    if (token) headers['authorization'] = `Bearer ${token}`;
    let body: BodyInit | null = null;
    if (call.json !== undefined) {
      headers['content-type'] = 'application/json';
      body = JSON.stringify(call.json);
    } else if (call.form) {
      body = new URLSearchParams(call.form);
    } else if (call.body) {
      body = call.body;
    }
    const end = new AbortController();
    const giveUp = () => end.abort();
    if (call.signal?.aborted) giveUp();
    call.signal?.addEventListener('abort', giveUp, { once: true });
    const timer = call.body ? undefined : setTimeout(() => end.abort(new NatterError('offline', 'The server did not answer in time.')), deadline);
    try {
      const response = await fetch(this.url(path, call.query), { method, headers, body, signal: end.signal });
      const text = await response.text();
      const data = parse(text, response);
      if (!response.ok) throw refusal(response.status, data, response.headers);
      return { data, headers: response.headers };
    } catch (error) {
      throw asNatterError(error);
    } finally {
      clearTimeout(timer);
      call.signal?.removeEventListener('abort', giveUp);
    }
  }
}

function parse(text: string, response: Response): unknown {
  if (!text) return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    if (!response.ok) return undefined;
    throw new NatterError('internal', 'The answer is not JSON.', { status: response.status, cause });
  }
}

/** The error that an answer outside 2xx stands for. */
export function refusal(status: number, data: unknown, headers: Headers): NatterError {
  // A proxy in between answers in its own way.
  const answer = (data ?? {}) as Partial<ErrorBody>;
  const retryAfter = Number(headers.get('retry-after') ?? Number.NaN);
  const requestId = headers.get('x-request-id');
  return new NatterError(
    answer.code ?? (status >= 502 && status <= 504 ? 'unavailable' : 'internal'),
    typeof answer.detail === 'string' ? answer.detail : `The server answered ${status}.`,
    {
      status,
      fields: Array.isArray(answer.errors) ? answer.errors : [],
      ...(Number.isFinite(retryAfter) ? { retryAfter } : {}),
      ...(requestId ? { requestId } : {}),
    },
  );
}

/** The path of `rel="next"`, without the origin. */
export function nextLink(header: string | null): string | null {
  for (const part of header?.split(/,(?=\s*<)/) ?? []) {
    const match = /<([^>]*)>\s*;[^,]*rel="?next"?/i.exec(part);
    if (!match?.[1]) continue;
    const url = new URL(match[1], 'http://natter.invalid');
    return url.pathname + url.search;
  }
  return null;
}
