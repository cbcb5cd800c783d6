// Keeps two rooms in sync, through restarts of the server: each message is printed once, in order.
// usage: node two-rooms.mjs <url> <username> <password> <room id> <room id>
import { NatterClient } from 'natter-client';

const [url, username, password, ...rooms] = process.argv.slice(2);
const client = new NatterClient({ url });

client.on('state', ({ kind }) => console.error(`connection: ${kind}`));
client.on('message', (message) => {
  if (rooms.includes(message.chat_room_id)) {
    console.log(JSON.stringify({ room: message.chat_room_id, seq: message.seq, by: message.username, text: message.content }));
  }
});
client.on('ended', () => process.exit(1));

await client.logIn(username, password);
await client.start();
for (const room of rooms) await client.open(room);

// Lines from standard input go to both rooms; what cannot be sent now is sent later, and stored once.
process.stdin.on('data', (line) => {
  for (const room of rooms) client.send(room, { content: String(line).trim() });
});
