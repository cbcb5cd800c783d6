/** The HTTP calls of docs/PROTOCOL.md, one method each. All throw {@link NatterError}. */
import type { Http, Page } from './http.ts';
import type {
  Account,
  Draft,
  JoinRequest,
  Member,
  Membership,
  Message,
  ReadMarker,
  RoomDetails,
  RoomEntry,
  RoomInfo,
  TokenAnswer,
  User,
  UserName,
} from './types.ts';
import type * as wire from './wire.ts';

/** Where a page of history lies; without any, the newest page. */
export interface HistoryAt {
  before?: string;
  after?: string;
  around?: string;
  limit?: number;
}

export class Api {
  readonly http: Http;
  readonly admin: AdminApi;

  constructor(http: Http) {
    this.http = http;
    this.admin = new AdminApi(http);
  }

  // Accounts

  signUp(email: string, username: string, password: string): Promise<User> {
    return this.http.call('POST', '/signup', { json: { email, username, password } satisfies wire.SignUp, auth: false });
  }

  /** `username` may be the e-mail. */
  token(username: string, password: string): Promise<TokenAnswer> {
    return this.http.call('POST', '/token', { form: { username, password }, auth: false });
  }

  me(): Promise<User> {
    return this.http.call('GET', '/users/me');
  }

  /** People whose names begin with `name`. */
  findPeople(name: string, signal?: AbortSignal): Promise<UserName[]> {
    return this.http.call('GET', '/users', { query: { name, limit: 20 }, ...(signal ? { signal } : {}) });
  }

  /** Every older token and socket of the user ends; the answer is a new token. */
  changePassword(current_password: string, new_password: string): Promise<TokenAnswer> {
    return this.http.call('PUT', '/users/me/password', { json: { current_password, new_password } satisfies wire.PasswordChange });
  }

  logOutEverywhere(): Promise<void> {
    return this.http.call('POST', '/users/me/log-out-everywhere');
  }

  // Rooms

  /** The caller's rooms of one kind, newest activity first. */
  rooms(is_group: boolean): Promise<RoomEntry[]> {
    return this.http.all('POST', '/user/submitted-chat-rooms', { json: { is_group } satisfies wire.SubmittedRooms });
  }

  createRoom(name: string): Promise<wire.CreatedRoom> {
    return this.http.call('POST', '/chat-rooms', { json: { name } satisfies wire.CreateRoom });
  }

  /** A group room by its id, also for who is no member. */
  findRoom(chat_room_id: string): Promise<RoomInfo> {
    return this.http.call('GET', '/search-chat-rooms', { query: { chat_room_id } });
  }

  /** The owner's view of a group room, with the requests to join it. */
  roomDetails(chat_room_id: string): Promise<RoomDetails> {
    return this.http.call('GET', '/chat-room-details', { query: { chat_room_id } });
  }

  deleteRoom(chat_room_id: string): Promise<void> {
    return this.http.call('DELETE', '/delete-chat-room', { query: { chat_room_id } });
  }

  /** The private room with this person, always the same. */
  privateRoom(addressed_users_id: string): Promise<wire.PrivateRoom> {
    return this.http.call('POST', '/pv-chat-room', { json: { addressed_users_id } satisfies wire.OpenPrivateRoom });
  }

  askToJoin(chat_room_id: string, message?: string): Promise<JoinRequest> {
    const json = { chat_room_id, message: message ?? null } satisfies wire.AskToJoin;
    return this.http.call('POST', '/join-request', { json });
  }

  answerJoinRequest(join_request_id: string, approval_status: boolean): Promise<wire.AnsweredJoinRequest> {
    const json = { join_request_id, approval_status } satisfies wire.AnswerJoinRequest;
    return this.http.call('POST', '/handle-join-request', { json });
  }

  /** Names of those online among the people whom the caller has a private room with. */
  onlineContacts(): Promise<string[]> {
    return this.http.call('GET', '/pv-online-users');
  }

  members(room: string): Promise<Member[]> {
    return this.http.all('GET', `/chat-rooms/${encodeURIComponent(room)}/members`);
  }

  leave(room: string): Promise<void> {
    return this.http.call('DELETE', `/chat-rooms/${encodeURIComponent(room)}/members/me`);
  }

  removeMember(room: string, user: string): Promise<void> {
    return this.http.call('DELETE', `/chat-rooms/${encodeURIComponent(room)}/members/${encodeURIComponent(user)}`);
  }

  // Messages

  history(room: string, at: HistoryAt = {}): Promise<Message[]> {
    return this.http.call('GET', `/chat-rooms/${encodeURIComponent(room)}/messages`, { query: { ...at } });
  }

  message(room: string, message: string): Promise<Message> {
    return this.http.call('GET', `/chat-rooms/${encodeURIComponent(room)}/messages/${encodeURIComponent(message)}`);
  }

  /** The way of bots and back ends; {@link NatterClient.send} survives a lost connection. */
  post(room: string, draft: Draft): Promise<Message> {
    return this.http.call('POST', `/chat-rooms/${encodeURIComponent(room)}/messages`, { json: draft satisfies wire.NewMessage });
  }

  markRead(room: string, seq: number): Promise<ReadMarker> {
    return this.http.call('PUT', `/chat-rooms/${encodeURIComponent(room)}/read-marker`, { json: { seq } satisfies wire.MarkRead });
  }
}

/** What an administrator may do; `forbidden` to everyone else. */
export class AdminApi {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** A page of users; `next` is {@link Page.next} of the page before. */
  users(next?: string): Promise<Page<Account>> {
    return this.#page(next ?? '/admin/users');
  }

  createUser(user: wire.NewAccount): Promise<Account> {
    return this.#http.call('POST', '/admin/users', { json: user });
  }

  updateUser(id: string, change: wire.AccountChange): Promise<Account> {
    return this.#http.call('PATCH', `/admin/users/${encodeURIComponent(id)}`, { json: change });
  }

  deleteUser(id: string): Promise<void> {
    return this.#http.call('DELETE', `/admin/users/${encodeURIComponent(id)}`);
  }

  rooms(is_group: boolean, next?: string): Promise<Page<RoomInfo>> {
    return this.#page(next ?? `/admin/chat-rooms?is_group=${is_group}`);
  }

  renameRoom(id: string, name: string): Promise<RoomInfo> {
    return this.#http.call('PATCH', `/admin/chat-rooms/${encodeURIComponent(id)}`, { json: { name } satisfies wire.RoomChange });
  }

  deleteRoom(id: string): Promise<void> {
    return this.#http.call('DELETE', `/admin/chat-rooms/${encodeURIComponent(id)}`);
  }

  joinRequests(next?: string): Promise<Page<JoinRequest>> {
    return this.#page(next ?? '/admin/join-requests');
  }

  deleteJoinRequest(id: string): Promise<void> {
    return this.#http.call('DELETE', `/admin/join-requests/${encodeURIComponent(id)}`);
  }

  /** Memberships, which the inherited contract calls sessions. */
  memberships(next?: string): Promise<Page<Membership>> {
    return this.#page(next ?? '/admin/chat-room-sessions');
  }

  deleteMembership(id: string): Promise<void> {
    return this.#http.call('DELETE', `/admin/chat-room-sessions/${encodeURIComponent(id)}`);
  }

  #page<T>(path: string): Promise<Page<T>> {
    return this.#http.page('GET', path);
  }
}
