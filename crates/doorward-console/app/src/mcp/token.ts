/** The bearer for MCP: fetched when it is needed, renewed before it ends. */
export interface Given {
  token: string | null;
  expires_in: number;
}

/** So many seconds before its end, a token is renewed: long calls begin with a token that lives. */
const EARLY = 45;

export class Tokens {
  #held: { token: string | null; until: number } | null = null;
  #asked: Promise<string | null> | null = null;
  #get: () => Promise<Given>;
  #now: () => number;

  constructor(get: () => Promise<Given>, now: () => number = () => Date.now()) {
    this.#get = get;
    this.#now = now;
  }

  /** The token, or `null` where nobody has to authenticate. */
  async token(): Promise<string | null> {
    if (this.#held && this.#held.until > this.#now()) return this.#held.token;
    this.#asked ??= this.#get()
      .then(({ token, expires_in }) => {
        this.#held = { token: token || null, until: this.#now() + Math.max(5, expires_in - EARLY) * 1000 };
        return this.#held.token;
      })
      .finally(() => {
        this.#asked = null;
      });
    return await this.#asked;
  }

  /** It was refused, or the session has changed. */
  drop(): void {
    this.#held = null;
  }
}
