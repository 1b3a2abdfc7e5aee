/** What an approver changes in the arguments of a call. */

/** Arguments as they were recorded: JSON, or a text that is not. */
export function asJson(text: string | null | undefined): unknown {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

/** Values of arguments as typed: text where text was, otherwise JSON. What is not JSON is named. */
export function edited(before: unknown, typed: Readonly<Record<string, string>>): { edits: Record<string, unknown>; wrong: string[] } {
  const edits: Record<string, unknown> = {};
  const wrong: string[] = [];
  for (const [name, text] of Object.entries(typed)) {
    if (text === '') continue;
    const was = (before as Record<string, unknown> | null)?.[name];
    if (typeof was === 'string' || was === undefined) edits[name] = text;
    else {
      try {
        edits[name] = JSON.parse(text) as unknown;
      } catch {
        wrong.push(name);
      }
    }
  }
  return { edits, wrong };
}
