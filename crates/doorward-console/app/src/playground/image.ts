/** Images that may be shown: four kinds of pixels, and only if the bytes are what they are said to be. */
const STARTS: Record<string, readonly number[][]> = {
  'image/png': [[0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]],
  'image/jpeg': [[0xff, 0xd8, 0xff]],
  'image/gif': [[0x47, 0x49, 0x46, 0x38, 0x37, 0x61], [0x47, 0x49, 0x46, 0x38, 0x39, 0x61]],
  'image/webp': [[0x52, 0x49, 0x46, 0x46]],
};

export function bytesOf(base64: unknown): Uint8Array<ArrayBuffer> | null {
  if (typeof base64 !== 'string') return null;
  try {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let at = 0; at < text.length; at += 1) bytes[at] = text.charCodeAt(at);
    return bytes;
  } catch {
    return null;
  }
}

export function imageOf(data: unknown, kind: unknown): Blob | null {
  const type = typeof kind === 'string' ? (kind.split(';')[0] ?? '').trim().toLowerCase() : '';
  const starts = Object.hasOwn(STARTS, type) ? STARTS[type] : undefined;
  const bytes = starts ? bytesOf(data) : null;
  if (!starts || !bytes || !starts.some((start) => start.every((byte, at) => bytes[at] === byte))) return null;
  if (type === 'image/webp' && String.fromCharCode(...bytes.slice(8, 12)) !== 'WEBP') return null;
  return new Blob([bytes], { type });
}
