/** Verifies audit records beside the page, so that it stays usable. Reads them twice, and remembers none. */
import type { Answer, Order, Source } from './messages';
import { isNumber, isObject, parsed } from './line';
import { readKey, type Keys } from './signed';
import { TooLarge, Verifier, type Report } from './verify';

/** Lines whose hashes are calculated together. */
const BATCH = 512;
/** Characters of a line, and of an anchor, at most. */
const LONGEST = 16 << 20;
const EVERY_MS = 150;

class Refused extends Error {
  constructor(readonly status: number, readonly body: string) {
    super(body);
  }
}
class NotText extends Error {}

const tell = (answer: Answer): void => postMessage(answer);

/** Lines of the gateway's export, page by page, byte for byte as they are stored. */
async function* ofGateway(to: number, since: number | undefined): AsyncGenerator<string[]> {
  let cursor: string | undefined;
  do {
    const query = new URLSearchParams({ to: String(to), ...(since === undefined ? {} : { from: String(since) }), ...(cursor ? { cursor } : {}) });
    const response = await fetch(`/admin/v1/audit/export?${query}`, { credentials: 'same-origin', cache: 'no-store', headers: { Accept: 'application/json' } });
    if (!response.ok) throw new Refused(response.status, (await response.text()).slice(0, 10_000));
    const page = (await response.json()) as { items: string[]; next_cursor?: string | null };
    yield page.items;
    cursor = page.next_cursor ?? undefined;
  } while (cursor);
}

async function* ofFile(file: File): AsyncGenerator<string[]> {
  // A byte that is no text must not turn into another.
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const reader = file.stream().getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    try {
      rest += decoder.decode(value, { stream: !done });
    } catch {
      throw new NotText(file.name);
    }
    const lines = rest.split('\n');
    rest = done ? '' : (lines.pop() ?? '');
    if (rest.length > LONGEST) throw new TooLarge();
    yield lines.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line)).filter((line) => line !== '');
    if (done) return;
  }
}

async function* linesOf(source: Source): AsyncGenerator<string[]> {
  if (source.from === 'gateway') yield* ofGateway(source.to, source.since);
  else for (const file of source.files) yield* ofFile(file);
}

/** Holds the records against what somebody has stored elsewhere: checkpoints, or the report of an earlier verification. */
async function anchored(verifier: Verifier, file: File): Promise<void> {
  if (file.size > LONGEST) throw new TooLarge();
  const text = await file.text();
  const whole = parsed(text);
  const report = isObject(whole?.['report']) ? whole['report'] : whole;
  if (report && isObject(report['chains'])) {
    for (const [writer, chain] of Object.entries(report['chains'])) {
      if (isObject(chain) && isNumber(chain['last']) && typeof chain['hash'] === 'string') verifier.claim(writer, chain['last'], chain['hash']);
    }
  } else await verifier.anchor(file.name, text.split('\n').filter((line) => line !== ''));
}

async function verify({ source, keys: texts, anchors }: Order): Promise<void> {
  const begun = performance.now();
  const keys: Keys = new Map();
  for (const text of texts) {
    const read = await readKey(text);
    if (read) keys.set(read.id, read.key);
  }
  let report = await read({ source, keys: texts, anchors }, keys);
  // Retention may have removed records between the passes: what it wrote of that is read the second time.
  const removes = report.findings.some((it) => it.fault === 'unjustified');
  if (removes && source.from === 'gateway') report = await read({ source, keys: texts, anchors }, keys);
  tell({ type: 'done', report, ms: performance.now() - begun });
}

async function read({ source, anchors }: Order, keys: Keys): Promise<Report> {
  const verifier = new Verifier(keys, source.from === 'gateway' && source.since === undefined);
  for (const file of anchors) await anchored(verifier, file);
  let said = 0;
  for (const pass of [1, 2] as const) {
    let [records, bytes] = [0, 0];
    for await (const lines of linesOf(source)) {
      for (let at = 0; at < lines.length; at += BATCH) {
        const batch = lines.slice(at, at + BATCH);
        if (pass === 1) for (const line of batch) await verifier.gather(line);
        else await verifier.check(batch);
        records += batch.length;
        bytes += batch.reduce((sum, line) => sum + line.length + 1, 0);
        if (performance.now() - said < EVERY_MS) continue;
        said = performance.now();
        tell({ type: 'progress', pass, records, bytes });
      }
    }
  }
  return verifier.finish();
}

addEventListener('message', (event: MessageEvent<Order>) => {
  verify(event.data).catch((error: unknown) => {
    if (error instanceof Refused) return tell({ type: 'failed', why: 'http', status: error.status, body: error.body });
    const detail = error instanceof Error ? error.message : String(error);
    const name = error instanceof DOMException ? error.name : '';
    tell({ type: 'failed', why: error instanceof TooLarge ? 'too_large' : error instanceof NotText ? 'not_text' : name === 'NotSupportedError' ? 'no_ed25519' : error instanceof TypeError ? 'network' : 'other', detail });
  });
});
