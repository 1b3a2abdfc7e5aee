/** What happens at the gateway, as server-sent events: one connection for all screens, closed while nobody looks. */
import { session } from './session.svelte';

export interface CallEvent {
  call: string;
  principal: string;
  tenant?: string;
  server: string;
  method: string;
  target: string;
  outcome: string;
  ms: number;
}
export interface HealthEvent {
  server: string;
  state: string;
  problem?: string | null;
}
export interface WaitingEvent {
  proposals: { server: string; state: string }[];
  definitions: Record<string, number>;
  approvals: number;
  requests?: number;
}
export interface MissedEvent {
  calls: number;
}
interface Kinds {
  call: CallEvent;
  health: HealthEvent;
  waiting: WaitingEvent;
  missed: MissedEvent;
}
type Kind = keyof Kinds;
type Listener<K extends Kind> = (event: Kinds[K]) => void;

const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 30_000;
const HIDDEN_FOR = 60_000;

let state = $state<'off' | 'connecting' | 'live' | 'reconnecting'>('off');
let waiting = $state.raw<WaitingEvent>({ proposals: [], definitions: {}, approvals: 0 });
let missed = $state(0);
let source: EventSource | null = null;
let wait = FIRST_WAIT;
let timer: ReturnType<typeof setTimeout> | undefined;
let hiding: ReturnType<typeof setTimeout> | undefined;
let wanted = false;
const listeners: { [K in Kind]: Set<Listener<K>> } = { call: new Set(), health: new Set(), waiting: new Set(), missed: new Set() };

function dispatch<K extends Kind>(kind: K, message: Event): void {
  const set = listeners[kind];
  // Two thousand calls a second are not parsed where nobody listens.
  if (set.size === 0 && kind !== 'waiting' && kind !== 'missed') return;
  let data: Kinds[K];
  try {
    data = JSON.parse((message as MessageEvent<string>).data) as Kinds[K];
  } catch {
    return;
  }
  if (kind === 'waiting') waiting = data as WaitingEvent;
  if (kind === 'missed') missed += (data as MissedEvent).calls;
  for (const listener of set) listener(data);
}

function open(): void {
  clearTimeout(timer);
  if (!wanted || source) return;
  state = state === 'off' ? 'connecting' : state;
  const opened = new EventSource('/admin/v1/events');
  source = opened;
  opened.onopen = () => {
    state = 'live';
    wait = FIRST_WAIT;
  };
  opened.onerror = () => {
    close();
    state = 'reconnecting';
    const pause = wait * (0.75 + Math.random() / 2);
    wait = Math.min(wait * 2, LONGEST_WAIT);
    timer = setTimeout(async () => {
      // A session that has ended is no reason to go on trying.
      await session.load();
      if (session.current && !session.current.signed_in) session.lost();
      else open();
    }, pause);
  };
  for (const kind of ['call', 'health', 'waiting', 'missed'] as const) {
    opened.addEventListener(kind, (message) => dispatch(kind, message));
  }
}

function close(): void {
  source?.close();
  source = null;
  clearTimeout(timer);
}

export const events = {
  get state() {
    return state;
  },
  get waiting(): WaitingEvent {
    return waiting;
  },
  /** Calls that happened and were not sent, since the page was opened. */
  get missed(): number {
    return missed;
  },
  /** What waits for somebody's decision. */
  get decisions(): number {
    const definitions = Object.values(waiting.definitions).reduce((sum, n) => sum + n, 0);
    return waiting.approvals + (waiting.requests ?? 0) + waiting.proposals.length + definitions;
  },
  /** Calls `listener` for each event of a kind; returns what ends that. */
  on<K extends Kind>(kind: K, listener: Listener<K>): () => void {
    listeners[kind].add(listener);
    return () => {
      listeners[kind].delete(listener);
    };
  },
  /** Begins to listen, again after somebody has signed in anew. */
  start(): void {
    if (wanted) {
      open();
      return;
    }
    wanted = true;
    open();
    document.addEventListener('visibilitychange', () => {
      clearTimeout(hiding);
      if (!document.hidden) open();
      else hiding = setTimeout(() => {
        close();
        state = 'off';
      }, HIDDEN_FOR);
    });
  },
};
