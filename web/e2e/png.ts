/** A picture for the tests: a sunset of the given size, as PNG. */
import { crc32, deflateSync } from 'node:zlib';

export function png(width: number, height: number): Buffer {
  const rows: Buffer[] = [];
  for (let y = 0; y < height; y += 1) {
    const row = Buffer.alloc(1 + width * 3);
    for (let x = 0; x < width; x += 1) row.set(colour(x / width, y / height, width / height), 1 + x * 3);
    rows.push(row);
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', deflateSync(Buffer.concat(rows))), chunk('IEND', Buffer.alloc(0))]);
}

/** A sun above the sea, in shares of the width and the height. */
function colour(x: number, y: number, ratio: number): [number, number, number] {
  const horizon = 0.62;
  const distance = Math.hypot((x - 0.62) * ratio, y - 0.5);
  if (y < horizon) {
    if (distance < 0.13) return [255, 226, 170];
    const glow = Math.max(0, 1 - distance * 1.4);
    return mix([58, 74, 120], [255, 140, 96], Math.min(1, y / horizon * 0.75 + glow * 0.45));
  }
  const wave = Math.sin(y * 190 + Math.sin(x * 9) * 2) * 0.5 + 0.5;
  const path = Math.max(0, 1 - Math.abs(x - 0.62) * (5 - (y - horizon) * 6));
  return mix([24, 48, 82], [255, 176, 120], path * (0.35 + wave * 0.5) + (1 - y) * 0.18);
}

function mix(a: [number, number, number], b: [number, number, number], part: number): [number, number, number] {
  return [0, 1, 2].map((n) => Math.round((a[n] as number) + ((b[n] as number) - (a[n] as number)) * part)) as [number, number, number];
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  body.copy(framed, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}
