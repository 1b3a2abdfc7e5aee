import { describe, expect, it } from 'vitest';
import { CLIENTS, snippet, type Auth, type Client, type Snippet } from '../src/clients/snippets';
import { texts } from '../src/texts';
import shared from './fixtures/snippets.json';

interface Made {
  client: Client;
  url: string;
  name: string;
  auth: Auth;
  snippet: Snippet;
}

/** What `doorward clients show` prints, written by the tests of the crate `doorward-clients`. */
const made = shared.snippets as Made[];

describe('snippets of the console and of the command line', () => {
  it('are the same, for every client and every way to authenticate', () => {
    expect(new Set(made.map((one) => one.client))).toEqual(new Set(CLIENTS));
    expect(made.length).toBe(CLIENTS.length * 3 * 3);
    for (const one of made) {
      expect(snippet(one.client, one.url, one.name, one.auth), `${one.client} ${one.auth}`).toEqual(one.snippet);
    }
  });
  it('have the same notes', () => {
    expect(texts.connect.notes).toEqual(shared.notes);
  });
});
