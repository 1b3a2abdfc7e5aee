/** Policy files that were drafted elsewhere, until the editor takes them. */
let files: Record<string, string> | null = null;

export const keepDraft = (drafted: Record<string, string>): void => void (files = drafted);

export function takeDraft(): Record<string, string> | null {
  const taken = files;
  files = null;
  return taken;
}
