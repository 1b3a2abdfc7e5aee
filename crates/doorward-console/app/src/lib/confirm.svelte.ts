/** One question at a time, asked in a dialog. */
export interface Question {
  title: string;
  text?: string;
  /** The label of the button that does it. */
  action: string;
  danger?: boolean;
  /** This has to be typed before the button works: for what cannot be undone. */
  typed?: string;
  /** A reason is asked for, and must or may be given. */
  reason?: 'required' | 'optional';
  /** What can be permitted with it, and what that means. */
  option?: { label: string; hint: string };
}
export interface Confirmed {
  reason: string;
  /** Whether the option was chosen. */
  option: boolean;
}

interface Pending extends Question {
  answer: (confirmed: Confirmed | null) => void;
}

let pending = $state.raw<Pending | null>(null);

export const questions = {
  get pending(): Pending | null {
    return pending;
  },
  answer(confirmed: Confirmed | null): void {
    const asked = pending;
    pending = null;
    asked?.answer(confirmed);
  },
};

/** Asks, and resolves with the reason, or with `null` if the person does not want it. */
export function confirm(question: Question): Promise<Confirmed | null> {
  questions.answer(null);
  return new Promise((answer) => {
    pending = { ...question, answer };
  });
}
