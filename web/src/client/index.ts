/** natter-client: the protocol of natter, for browsers and Node. See README.md. */
export { AdminApi, Api, type HistoryAt } from './api.ts';
export { NatterClient } from './client.ts';
export type { ClientEvents, ClientOptions } from './client-events.ts';
export type { ConnectionState } from './connection.ts';
export { asNatterError, NatterError, type ErrorCode, type FieldError } from './errors.ts';
export { History } from './history.ts';
export type { Page } from './http.ts';
export { MemoryOutboxStore, type Entry, type EntryState, type OutboxStore } from './outbox.ts';
export { LocalOutboxStore } from './outbox-store.ts';
export { Room, type Gone } from './room.ts';
export { Timeline } from './timeline.ts';
export { LocalTokenStore, MemoryTokenStore, type Grant, type TokenStore } from './tokens.ts';
export type * from './types.ts';
