// The chat server that one would write with socket.io and MongoDB, to compare natter with. It does less than natter: messages have no
// positions, a retry is stored twice, nobody resumes, nobody is told who is there. What it does it does as natter: the
// token is checked, the membership is looked up, a message is acknowledged once a majority has it, and everybody hears it.
//
//   PORT, MONGODB_URL, SECRET_KEY: where it serves, where it stores, what tokens are signed with
//   POST /memberships: [{room, user}], which are let in from then on
import { once } from 'node:events';
import { createServer } from 'node:http';

import jwt from 'jsonwebtoken';
import { MongoClient } from 'mongodb';
import { Server } from 'socket.io';

const HISTORY = 50;
const LONGEST = 16 * 1024;

const client = await new MongoClient(process.env.MONGODB_URL, { writeConcern: { w: 'majority' } }).connect();
const memberships = client.db().collection('memberships');
const messages = client.db().collection('messages');
await memberships.createIndex({ room: 1, user: 1 }, { unique: true });
await messages.createIndex({ room: 1, _id: -1 });

const http = createServer(async (request, response) => {
  if (request.method === 'POST' && request.url === '/memberships') {
    let body = '';
    for await (const piece of request) body += piece;
    await memberships.insertMany(JSON.parse(body));
  }
  response.end('{}');
});

const io = new Server(http, { pingInterval: 15_000, pingTimeout: 10_000, serveClient: false });

io.use(async (socket, next) => {
  try {
    const { token, chat_room_id: room } = socket.handshake.auth;
    const claims = jwt.verify(token, process.env.SECRET_KEY, { algorithms: ['HS256'] });
    if (!(await memberships.findOne({ room, user: claims.sub }))) return next(new Error('not_found: no such room'));
    Object.assign(socket.data, { room, user: claims.sub, username: claims.username });
    next();
  } catch {
    next(new Error('unauthorized: log in again'));
  }
});

const shown = ({ _id, room, user, username, content, timestamp, type }) => ({
  id: _id.toHexString(),
  chat_room_id: room,
  user_id: user,
  username,
  content,
  timestamp,
  message_type: type,
  file_name: null,
  file_path: null,
});

io.on('connection', async (socket) => {
  const { room, user, username } = socket.data;
  socket.on('chat', async (said, ack) => {
    try {
      if (typeof said?.content !== 'string' || Buffer.byteLength(said.content) > LONGEST) {
        return ack({ ok: false, error: { code: 'invalid' } });
      }
      const row = { room, user, username, content: said.content, type: 'text', timestamp: new Date() };
      await messages.insertOne(row);
      const message = shown(row);
      io.to(room).emit('chat', { chat_room_id: room, message });
      ack({ ok: true, message });
    } catch {
      ack({ ok: false, error: { code: 'unavailable' } });
    }
  });
  const newest = await messages.find({ room }).sort({ _id: -1 }).limit(HISTORY).toArray();
  socket.join(room);
  socket.emit('joined', { chat_room_id: room });
  socket.emit('initial_messages', newest.reverse().map(shown));
});

http.listen(Number(process.env.PORT), '127.0.0.1');
await once(http, 'listening');
