// Pictures of screens for the documentation, small: the 256 most frequent colours of a screen are nearly all that it has. What
// is coloured counts for more than what is grey: a green dot is few pixels, and says much.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32, deflateSync, inflateSync } from 'node:zlib';
import { world } from './browser.mjs';

const SIGNATURE = Buffer.from('89504e470d0a1a0a', 'hex');
const MOST_BYTES = 120 * 1024;

/** The pixels of a PNG with eight bits a channel and no interlacing, as browsers write it. */
function decoded(png) {
  const data = [];
  let [width, height, channels] = [0, 0, 0];
  for (let at = 8; at < png.length; at += 12 + png.readUInt32BE(at)) {
    const [length, kind] = [png.readUInt32BE(at), png.toString('latin1', at + 4, at + 8)];
    const body = png.subarray(at + 8, at + 8 + length);
    if (kind === 'IHDR') [width, height, channels] = [body.readUInt32BE(0), body.readUInt32BE(4), { 2: 3, 6: 4 }[body[9]]];
    if (kind === 'IDAT') data.push(body);
  }
  const raw = inflateSync(Buffer.concat(data));
  const stride = width * channels;
  const out = Buffer.alloc(height * stride);
  for (let y = 0; y < height; y += 1) {
    const filter = raw[y * (stride + 1)];
    for (let x = 0; x < stride; x += 1) {
      const left = x >= channels ? out[y * stride + x - channels] : 0;
      const up = y > 0 ? out[(y - 1) * stride + x] : 0;
      const corner = x >= channels && y > 0 ? out[(y - 1) * stride + x - channels] : 0;
      const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
      const guess = [0, left, up, (left + up) >> 1, a <= b && a <= c ? left : b <= c ? up : corner][filter];
      out[y * stride + x] = raw[y * (stride + 1) + 1 + x] + guess;
    }
  }
  const colours = new Uint32Array(width * height);
  for (let at = 0; at < colours.length; at += 1) colours[at] = (out[at * channels] << 16) | (out[at * channels + 1] << 8) | out[at * channels + 2];
  return { width, height, colours };
}

function smaller(png) {
  const { width, height, colours } = decoded(png);
  const counts = new Map();
  for (const it of colours) counts.set(it, (counts.get(it) ?? 0) + 1);
  const colourful = (colour) => {
    const parts = [colour >> 16, (colour >> 8) & 255, colour & 255];
    return (Math.max(...parts) - Math.min(...parts)) / 255;
  };
  const weighed = [...counts].map(([colour, n]) => [colour, n * (1 + 12 * colourful(colour))]);
  const palette = weighed.sort((a, b) => b[1] - a[1]).slice(0, 256).map(([colour]) => colour);
  const near = new Map(palette.map((colour, at) => [colour, at]));
  const distance = (a, b) => [16, 8, 0].reduce((sum, shift) => sum + (((a >> shift) & 255) - ((b >> shift) & 255)) ** 2, 0);
  const nearest = (colour) => {
    if (!near.has(colour)) near.set(colour, palette.reduce((best, it, at) => (distance(it, colour) < distance(palette[best], colour) ? at : best), 0));
    return near.get(colour);
  };
  const rows = Buffer.alloc(height * (width + 1));
  for (let y = 0; y < height; y += 1) for (let x = 0; x < width; x += 1) rows[y * (width + 1) + 1 + x] = nearest(colours[y * width + x]);
  const chunk = (kind, body) => {
    const named = Buffer.concat([Buffer.from(kind, 'latin1'), body]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(body.length);
    sum.writeUInt32BE(crc32(named));
    return Buffer.concat([length, named, sum]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 3, 0, 0, 0], 8);
  const table = Buffer.from(palette.flatMap((colour) => [colour >> 16, (colour >> 8) & 255, colour & 255]));
  return Buffer.concat([SIGNATURE, chunk('IHDR', head), chunk('PLTE', table), chunk('IDAT', deflateSync(rows, { level: 9 })), chunk('IEND', Buffer.alloc(0))]);
}

/** With `--screenshots`, a picture of what a page shows. */
export async function picture(page, name) {
  if (!world.screenshots) return;
  await page.waitForFunction(() => [...document.querySelectorAll('.plot')].every((it) => it.querySelector('canvas')));
  const made = smaller(await page.screenshot({ animations: 'disabled', caret: 'hide' }));
  if (made.length > MOST_BYTES) throw new Error(`the picture ${name} has ${made.length} bytes`);
  writeFileSync(join(world.screenshots, `${name}.png`), made);
}
