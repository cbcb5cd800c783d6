/** What went wrong, in terms a program can act on. */
import type * as wire from './wire.ts';

/** The server's closed list of codes, and two of the client's own. */
export type ErrorCode = wire.ErrorCode | 'offline' | 'aborted';

const PASSING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'rate_limited',
  'overloaded',
  'unavailable',
  'unknown',
  'draining',
  'offline',
]);

export type FieldError = wire.FieldError;

/** Every failure of this library. `message` is the server's sentence, fit for a person. */
export class NatterError extends Error {
  override readonly name = 'NatterError';
  readonly code: ErrorCode;
  /** The HTTP status; absent for sockets and for failures of the network. */
  readonly status: number | undefined;
  /** Seconds to wait before the next try. */
  readonly retryAfter: number | undefined;
  /** What is wrong with which field, of a refused body. */
  readonly fields: readonly FieldError[];
  /** Quote it in a bug report: the server's log has it. */
  readonly requestId: string | undefined;

  constructor(
    code: string,
    message: string,
    more: { status?: number; retryAfter?: number; fields?: FieldError[]; requestId?: string; cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code as ErrorCode;
    this.status = more.status;
    this.retryAfter = more.retryAfter;
    this.fields = more.fields ?? [];
    this.requestId = more.requestId;
  }

  /** Whether the same call may succeed later. For `chat` that is safe only with the same `client_id`. */
  get isPassing(): boolean {
    return PASSING.has(this.code);
  }
}

/** Makes a {@link NatterError} of anything that was thrown. */
export function asNatterError(thrown: unknown): NatterError {
  if (thrown instanceof NatterError) return thrown;
  if (thrown instanceof Error && thrown.name === 'AbortError') {
    return new NatterError('aborted', 'The call was given up.', { cause: thrown });
  }
  return new NatterError('offline', 'The server does not answer.', { cause: thrown });
}
