/** Keys: `/` searches, `?` helps, `g` and a letter go somewhere. Never while somebody writes. */
export type Shortcut = { keys: string; run: () => void };

const PATIENCE = 1_200;

/** What a sequence of keys means: an action, a beginning of one, or nothing. */
export function match(shortcuts: readonly Shortcut[], typed: string): Shortcut | 'more' | null {
  const exact = shortcuts.find((it) => it.keys === typed);
  if (exact) return exact;
  return shortcuts.some((it) => it.keys.startsWith(`${typed} `)) ? 'more' : null;
}

const isWriting = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement &&
  (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.dataset.keys === 'own');

export function listen(shortcuts: () => readonly Shortcut[]): () => void {
  let typed = '';
  let at = 0;
  const onkey = (event: KeyboardEvent): void => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isWriting(event.composedPath()[0] ?? null)) return;
    if (document.querySelector('dialog[open]') || event.key.length !== 1) return;
    const now = performance.now();
    typed = typed && now - at < PATIENCE ? `${typed} ${event.key}` : event.key;
    at = now;
    let found = match(shortcuts(), typed);
    if (!found && typed !== event.key) {
      typed = event.key;
      found = match(shortcuts(), typed);
    }
    if (found === 'more') return;
    typed = '';
    if (found) {
      event.preventDefault();
      found.run();
    }
  };
  addEventListener('keydown', onkey);
  return () => removeEventListener('keydown', onkey);
}
