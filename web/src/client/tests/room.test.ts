import { describe, expect, it } from 'vitest';
import { Room } from '../room.ts';
import type { Message, RoomEntry } from '../types.ts';

const ME = 'u-ada';

/** What a list says of the room, as far as these tests look at it. */
function listed(seq: number, read_seq: number, unread: number, epoch = 'e1'): RoomEntry {
  return { id: 'tea', seq, epoch, read_seq, unread, last_message: null } as unknown as RoomEntry;
}

describe('unread messages', () => {
  it('stay read, though a list that was made before comes in late', () => {
    const room = new Room('tea', ME);
    room.take(listed(9, 4, 5));
    expect(room.unread).toBe(5);
    room.marked({ chat_room_id: 'tea', user_id: ME, seq: 9, unread: 0 });
    room.take(listed(9, 4, 5));
    expect([room.unread, room.readSeq]).toEqual([0, 9]);
    room.take(listed(12, 9, 3));
    expect(room.unread).toBe(3);
  });

  it('are read by who writes, on any machine', () => {
    const room = new Room('tea', ME);
    room.take(listed(9, 4, 5));
    room.meet({ chat_room_id: 'tea', seq: 9, epoch: 'e1' });
    const say = (seq: number, user_id: string) =>
      room.apply('chat', { chat_room_id: 'tea', seq, message: { seq, user_id, content: '', timestamp: '' } as unknown as Message });
    say(10, 'u-bo');
    expect([room.unread, room.readSeq]).toEqual([6, 4]);
    say(11, ME);
    expect([room.unread, room.readSeq]).toEqual([0, 11]);
    say(12, 'u-bo');
    expect(room.unread).toBe(1);
  });

  it('are counted anew in a log that begins anew', () => {
    const room = new Room('tea', ME);
    room.take(listed(9, 9, 0));
    room.meet({ chat_room_id: 'tea', seq: 9, epoch: 'e1' });
    room.restart({ seq: 3, epoch: 'e2' }, []);
    room.take(listed(3, 1, 2, 'e2'));
    expect([room.unread, room.readSeq]).toEqual([2, 1]);
  });
});
