/**
 * Verifies chains of audit records: that none was changed, removed, inserted, moved or truncated. As `doorward audit verify` does,
 * in two passes over all records, those of one chain in order: the first collects claims about them (`gather`), the second checks
 * each (`check`).
 */
import { hashed, isNumber, lastOf, parsed, readLine, sha256, type Line } from './line';
import { readCheckpoint, readRemoval, type Doubt, type Gone, type Head, type Keys } from './signed';

/** The chain of administrative actions, which all gateways share and none signs alone. */
const ACTS = 'acts';
/** Findings that are listed; further ones are counted. */
const MOST = 100;
/** Claims that are remembered at most. */
export const MOST_CLAIMS = 2_000_000;
/** Characters of a record that are shown with a finding. */
const SHOWN = 20_000;

export type Fault =
  | 'unreadable' | 'changed' | 'unlinked' | 'missing' | 'misplaced' | 'bad_checkpoint' | 'replaced' | 'cut_off' | 'unjustified'
  | 'unsigned_removal' | 'after_end' | 'unsigned' | 'no_key' | 'never_signed' | 'second_death' | 'no_checkpoint' | 'no_anchor' | 'bad_anchor';
export type Detail = Doubt | { is: 'after'; seq: number } | { is: 'seen'; seq: number } | { is: 'all'; count: number };
export interface Finding {
  /** The chain, or the name of an anchor. */
  writer: string;
  /** The record's number, or the line of the anchor. */
  seq: number;
  fault: Fault;
  detail?: Detail;
  /** The record that was found there, and the hash that it should have. */
  text?: string;
  computed?: string;
}
export interface Chain {
  first: number;
  last: number;
  hash: string;
  /** The last record that checkpoints cover. */
  checkpointed: number;
}
export interface Report {
  records: number;
  removed: number;
  checkpoints: number;
  chains: Record<string, Chain>;
  findings: Finding[];
  more: number;
}
interface Death {
  heir: string;
  seq: number;
  last: number | null;
  hash: string;
}
/** More is claimed than this page remembers. */
export class TooLarge extends Error {}

const gone = ([writer, first, last, hash]: Gone): string => JSON.stringify([writer, first, last, hash]);

export class Verifier {
  #claims = new Map<string, Map<number, Set<string>>>();
  #claimed = 0;
  #removed = new Set<string>();
  #retained = new Map<string, [string, number, number][]>();
  #vouched = new Map<string, number>();
  #signs = new Set<string>();
  #ends = new Map<string, number>();
  #deaths = new Map<string, Death[]>();
  #died = new Map<string, number>();
  #weighed = false;
  #fromStart = false;
  #chains = new Map<string, Chain>();
  #report = { records: 0, removed: 0, checkpoints: 0, findings: [] as Finding[], more: 0 };

  /** `whole`: all records from each chain's first one on are present, not only those of a time or of some files. */
  constructor(readonly keys: Keys, readonly whole: boolean) {}

  get records(): number {
    return this.#report.records;
  }

  #vouch(writer: string, seq: number): void {
    this.#vouched.set(writer, Math.max(this.#vouched.get(writer) ?? 0, seq));
  }

  /** Adds a claim about a record: every one must hold. */
  claim(writer: string, seq: number, hash: string): void {
    if (seq <= 0) return;
    const chain = this.#claims.get(writer) ?? new Map<number, Set<string>>();
    const all = chain.get(seq) ?? new Set<string>();
    if (!all.has(hash) && (this.#claimed += 1) > MOST_CLAIMS) throw new TooLarge();
    this.#claims.set(writer, chain.set(seq, all.add(hash)));
  }

  /** Adds a file of checkpoints that others cannot write. */
  async anchor(name: string, lines: readonly string[]): Promise<void> {
    let has = false;
    for (const [at, text] of lines.entries()) {
      const line = readLine(text);
      if (line?.kind !== 'checkpoint') {
        await this.gather(text);
        continue;
      }
      has = true;
      const said = await readCheckpoint(text, this.keys);
      if ('is' in said) {
        this.#found(name, at + 1, 'bad_anchor', said);
        continue;
      }
      await this.gather(text);
      if (await intact(text, line)) this.claim(line.writer, line.seq, line.hash);
    }
    if (!has) this.#found(name, 0, 'no_anchor');
  }

  /** The first pass: collects a record's claims about others. */
  async gather(text: string): Promise<void> {
    if (text.includes('"kind":"checkpoint"')) {
      const said = await readCheckpoint(text, this.keys);
      // One that is not trusted claims nothing. The second pass reports it.
      if ('is' in said) return;
      for (const [writer, [seq, hash]] of said.heads) {
        this.#vouch(writer, seq);
        this.claim(writer, seq, hash);
      }
      this.claim(said.writer, said.seq - 1, said.prev);
      this.#vouch(said.writer, said.seq);
      this.#signs.add(said.writer);
      return;
    }
    const removal = await readRemoval(text, this.keys);
    if (removal?.signed) {
      for (const run of removal.runs) {
        const [writer, , last, hash] = run;
        this.claim(writer, last, hash);
        this.#vouch(writer, last);
        // Only what a checkpoint covers is removed.
        this.#signs.add(writer);
        this.#removed.add(gone(run));
      }
    } else if (removal) {
      this.#retained.set(removal.by, [...(this.#retained.get(removal.by) ?? []), ...removal.runs]);
    } else if (text.includes('"writer.died"')) this.#gatherDeath(text);
  }

  #gatherDeath(text: string): void {
    const it = parsed(text);
    if (!it) return;
    const { writer: heir, seq, event, died, last = null, last_hash: hash = '' } = it;
    if (typeof heir !== 'string' || !isNumber(seq) || event !== 'writer.died' || typeof died !== 'string' || typeof hash !== 'string') return;
    if ((last !== null && !isNumber(last)) || heir === ACTS || died === ACTS || died === heir || died === '') return;
    if (last !== null) this.claim(died, last, hash);
    const deaths = this.#deaths.get(died) ?? [];
    if (!deaths.some((it) => it.heir === heir && it.seq === seq && it.last === last && it.hash === hash)) deaths.push({ heir, seq, last, hash });
    this.#deaths.set(died, deaths);
  }

  /** Evaluates deaths after the first pass: one counts if it is signed, and a chain ends at its earliest end. */
  #weigh(): void {
    if (this.#weighed) return;
    this.#weighed = true;
    let open = [...this.#deaths].toSorted(([one], [other]) => (one < other ? -1 : 1)).flatMap(([died, all]) => all.map((death) => ({ died, death, disputed: all.length > 1 })));
    for (;;) {
      const isSigned = ({ death }: { death: Death }): boolean => (this.#vouched.get(death.heir) ?? 0) >= death.seq;
      const signed = open.filter(isSigned);
      open = open.filter((it) => !signed.includes(it));
      if (signed.length === 0) break;
      for (const { died, death } of signed) {
        // Written by a version that did not store the last record: covers all records.
        const last = death.last ?? Number.MAX_SAFE_INTEGER;
        // If a chain was never signed by its own gateway, the process that reported its death cannot prove it.
        if (death.last !== null && this.#signs.has(died)) this.#vouch(died, last);
        const before = this.#died.get(died);
        if (before !== undefined) this.#found(death.heir, death.seq, 'second_death');
        this.#died.set(died, Math.min(before ?? last, last));
      }
    }
    for (const { death, disputed } of open) if (disputed) this.#found(death.heir, death.seq, 'second_death');
  }

  /** The second pass: checks records, in order. */
  async check(texts: readonly string[]): Promise<void> {
    this.#weigh();
    const read = texts.map((text) => ({ text, line: readLine(text) }));
    const hashes = await Promise.all(read.map(async ({ text, line }) => {
      const body = line && line.removed === null ? hashed(text, line) : null;
      return body === null ? null : await sha256(body);
    }));
    for (const [at, { text, line }] of read.entries()) {
      if (line) await this.#check(text, line, hashes[at] ?? null);
      else this.#found('?', 0, 'unreadable', undefined, text);
    }
  }

  async #check(text: string, line: Line, computed: string | null): Promise<void> {
    const { writer, seq: first } = line;
    const last = lastOf(line);
    const known = this.#chains.get(writer);
    const chain: Chain = known ?? { first, last: 0, hash: '', checkpointed: 0 };
    let fault: [seq: number, fault: Fault, detail?: Detail] | null = null;
    this.#fromStart ||= writer === ACTS && first === 1 && line.removed === null;
    /** Signed by the gateway: with a checkpoint, or as a removal. */
    let isSigned = false;
    if (!known) {
      if (first !== 1 && (this.whole || first < 1)) fault = [1, 'missing'];
    } else if (first <= chain.last) fault = [first, 'misplaced', { is: 'after', seq: chain.last }];
    else if (first !== chain.last + 1) fault = [chain.last + 1, 'missing'];

    if (line.removed !== null) {
      if (!this.#removed.has(gone([writer, first, last, line.hash]))) {
        fault ??= [first, this.#isJustified(line.removed, writer, first, last) ? 'unsigned_removal' : 'unjustified'];
      } else {
        isSigned = true;
        this.#vouch(writer, last);
      }
      this.#report.removed += Math.max(0, last - first + 1);
    } else {
      this.#report.records += 1;
      if (computed !== line.hash) fault ??= [first, 'changed'];
      else if (!fault && (known || first === 1) && line.prev !== chain.hash) fault = [first, 'unlinked'];
    }
    if (line.kind === 'checkpoint' && line.removed === null) {
      const said = await readCheckpoint(text, this.keys);
      if ('is' in said) fault ??= [first, 'bad_checkpoint', said];
      else {
        isSigned = true;
        this.#report.checkpoints += 1;
        this.#vouch(writer, first);
        this.#signs.add(writer);
      }
    }
    const end = this.#ends.get(writer);
    const death = this.#died.get(writer);
    if ((end !== undefined && first > end && !isSigned) || (death !== undefined && last > death)) fault ??= [first, 'after_end'];
    if (line.kind === 'end' && line.removed === null && end === undefined) this.#ends.set(writer, first);
    const claims = this.#claims.get(writer);
    if (claims) {
      // For removed records, only the last hash is known.
      const claimed = claims.get(last);
      if (claimed && [...claimed].some((hash) => hash !== line.hash)) fault ??= [last, 'replaced'];
      if (last - first < claims.size) for (let seq = first; seq <= last; seq += 1) claims.delete(seq);
      else for (const seq of [...claims.keys()]) if (seq >= first && seq <= last) claims.delete(seq);
    }
    if (fault) this.#found(writer, fault[0], fault[1], fault[2], text, computed);
    // A misplaced record does not affect the checks of later ones.
    this.#chains.set(writer, !known || last > chain.last ? { ...chain, last, hash: line.hash } : chain);
  }

  #isJustified(by: string, writer: string, first: number, last: number): boolean {
    const ranges = (this.#retained.get(by) ?? []).filter(([of]) => of === writer).toSorted((a, b) => a[1] - b[1]);
    let next = first;
    for (const [, from, to] of ranges) if (from <= next && next <= to) next = to + 1;
    return next > last;
  }

  #found(writer: string, seq: number, fault: Fault, detail?: Detail, text?: string, computed?: string | null): void {
    if (this.#report.findings.length >= MOST) {
      this.#report.more += 1;
      return;
    }
    this.#report.findings.push({
      writer, seq, fault,
      ...(detail ? { detail } : {}),
      ...(text === undefined ? {} : { text: text.slice(0, SHOWN) }),
      ...(computed ? { computed } : {}),
    });
  }

  #checkEnds(chains: [string, Chain][]): void {
    const own = chains.filter(([writer, chain]) => writer !== ACTS && chain.last > 0);
    if (this.keys.size === 0) {
      const writer = own[0]?.[0];
      if (writer !== undefined) this.#found(writer, 1, 'no_key');
      return;
    }
    if (!this.whole && this.#report.checkpoints === 0) this.#found('', 0, 'no_checkpoint');
    for (const [writer, { first, last, checkpointed }] of own) {
      // A gateway signs its chain in the transaction that begins it: if it has not, anyone may have inserted the chain.
      if (checkpointed < first || !this.#signs.has(writer)) this.#found(writer, first, 'never_signed');
      else if (this.#died.has(writer) && last > checkpointed) this.#found(writer, checkpointed + 1, 'unsigned');
    }
  }

  /** The report. Claims that no record matches are findings, too. */
  finish(): Report {
    this.#weigh();
    const chains = [...this.#chains].toSorted(([one], [other]) => (one < other ? -1 : 1));
    for (const [writer, chain] of chains) chain.checkpointed = Math.min(this.#vouched.get(writer) ?? 0, chain.last);
    this.#checkEnds(chains);
    for (const [writer, claims] of [...this.#claims].toSorted(([one], [other]) => (one < other ? -1 : 1))) {
      if (claims.size === 0) continue;
      const seq = [...claims.keys()].reduce((most, it) => Math.max(most, it), 0);
      const chain = this.#chains.get(writer);
      if (chain && seq > chain.last) this.#found(writer, chain.last + 1, 'cut_off', { is: 'seen', seq });
      else if (!chain && (this.whole || this.#fromStart || writer === ACTS)) this.#found(writer, 1, 'cut_off', { is: 'all', count: seq });
    }
    return { ...this.#report, chains: Object.fromEntries(chains) };
  }
}

async function intact(text: string, line: Line): Promise<boolean> {
  const body = hashed(text, line);
  return body !== null && (await sha256(body)) === line.hash;
}
export type { Head };
