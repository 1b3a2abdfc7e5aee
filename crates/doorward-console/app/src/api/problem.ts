/** What went wrong, as the gateway said it (RFC 9457), and what to do. */
import { texts } from '../texts';

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly title: string,
    readonly detail: string,
    readonly more: Record<string, unknown> = {},
    readonly retryAfter: number | null = null,
  ) {
    super(detail || title);
    this.name = 'Problem';
  }

  /** What a person can do about it. */
  get advice(): string {
    return texts.problems[this.code as keyof typeof texts.problems] ?? texts.problems.other;
  }

  static of(error: unknown): Problem {
    if (error instanceof Problem) return error;
    const text = error instanceof Error ? error.message : String(error);
    return new Problem(0, error instanceof TypeError ? 'unreachable' : 'defect', texts.problemTitles.unreachable, text);
  }

  static async from(response: Response): Promise<Problem> {
    const text = await response.text().catch(() => '');
    let body: Record<string, unknown> = {};
    try {
      const parsed: unknown = JSON.parse(text);
      if (typeof parsed === 'object' && parsed !== null) body = parsed as Record<string, unknown>;
    } catch {
      // Not the gateway's own: a proxy, for example.
    }
    const { type: _type, title, status: _status, detail, code, ...more } = body;
    const retry = Number(response.headers.get('retry-after'));
    return new Problem(
      response.status,
      typeof code === 'string' ? code : `http_${response.status}`,
      typeof title === 'string' ? title : `${response.status} ${response.statusText}`.trim(),
      typeof detail === 'string' ? detail : text.slice(0, 300),
      more,
      Number.isFinite(retry) && retry > 0 ? retry : null,
    );
  }
}
