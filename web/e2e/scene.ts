/** A small world with people, rooms and something said in them, for the screens. */
import type { NatterClient } from '../src/client/index.ts';
import type { TestNode } from './node.ts';
import { account, room, say, until } from './people.ts';
import { png } from './png.ts';

export interface Scene {
  /** Owns most, and is the administrator: the first account. */
  owner: string;
  room: string;
  name: string;
  /** A room that the owner is not in. */
  foreign: string;
  /** Everyone, signed in without a browser, by name. */
  people: Record<string, NatterClient>;
  stop: () => void;
}

export async function scene(node: TestNode): Promise<Scene> {
  const people: Record<string, NatterClient> = {};
  for (const name of ['ada', 'Bo Lindqvist', 'Cyrus', 'dee', 'Emre', 'فاطمة']) people[name] = await account(node, name);
  const [ada, bo, cyrus, dee, emre, fatima] = Object.values(people) as [NatterClient, NatterClient, NatterClient, NatterClient, NatterClient, NatterClient];

  const name = 'Harbour café';
  const main = await room(ada, name, bo, cyrus, dee, fatima);
  const football = await room(bo, 'Sunday football', ada, cyrus);
  const books = await room(dee, 'Book club', ada, fatima);
  const release = await room(ada, 'Release 0.4', cyrus, emre);
  const foreign = await room(emre, 'Night shift', cyrus);

  await say(bo, football, 'Pitch 3 is ours from ten.', 'Bring the blue shirts 👕');
  await say(dee, books, 'Chapter nine, then. No spoilers, Ada.');
  await say(cyrus, release, 'Notes are in https://example.com/notes/0.4');
  const direct = await ada.privateRoom(fatima.me?.id ?? '');
  await until(() => fatima.rooms.has(direct));
  await say(fatima, direct, 'هل نلتقي غدًا في المقهى؟');
  await say(ada, direct, 'نعم، في العاشرة ☕');

  await say(bo, main, 'Morning! Who has the keys to the terrace?');
  await say(cyrus, main, 'Me. I am there from half past seven.', 'The new lamps came, too');
  await say(ada, main, 'Wonderful. Do they fit above the long table?');
  await say(bo, main, 'The supplier asks about the coffee: forty kilos of the Sidamo, like last month? They can deliver on Thursday before eight, or on Friday around noon. Price list: https://example.com/beans');
  await say(fatima, main, 'Thursday is better, Friday is the wedding.');
  await say(ada, main, 'Thursday then. Forty, and five of the decaf 🙂');
  await paper(bo, main);
  await say(bo, main, 'Ordered. The floor plan for the wedding is above, have a look at table six.');
  await say(cyrus, main, 'Table six is too close to the band, I would swap it with nine.');
  await say(dee, main, 'Swap it 👍');
  await picture(cyrus, main, 'By the way: last night, from the terrace');
  await say(dee, main, 'Oh.', '😍');
  await say(ada, main, 'We should put that on the menu.');
  await emre.api.askToJoin(main, 'Cyrus told me about the terrace shifts. I have time on weekends.');
  return { owner: 'ada', room: main, name, foreign, people, stop: () => Object.values(people).forEach((one) => one.stop()) };
}

async function picture(from: NatterClient, roomId: string, caption: string): Promise<void> {
  const file = new File([new Uint8Array(png(960, 640))], 'terrace.png', { type: 'image/png' });
  from.send(roomId, { content: caption, file });
  await until(() => from.outbox.size === 0, 20_000);
}

async function paper(from: NatterClient, roomId: string): Promise<void> {
  const file = new File(['%PDF-1.4\n' + 'plan '.repeat(24_000)], 'floor-plan-wedding.pdf', { type: 'application/pdf' });
  from.send(roomId, { content: '', file });
  await until(() => from.outbox.size === 0, 20_000);
}
