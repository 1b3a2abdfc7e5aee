/** CodeMirror, loaded by the screens that edit. */
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap, type CompletionContext } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { json } from '@codemirror/lang-json';
import { yaml } from '@codemirror/lang-yaml';
import { HighlightStyle, StreamLanguage, bracketMatching, indentOnInput, syntaxHighlighting } from '@codemirror/language';
import { lintGutter, setDiagnostics } from '@codemirror/lint';
import { EditorState, type Extension } from '@codemirror/state';
import { EditorView, drawSelection, highlightActiveLine, keymap, lineNumbers } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { KEYWORDS, VARIABLES, offer } from './cedar';

export type Language = 'cedar' | 'json' | 'yaml' | 'text';
export interface Mark {
  /** From 1; 0 for the whole text. */
  line: number;
  message: string;
  warning?: boolean;
}

const cedar = StreamLanguage.define<null>({
  name: 'cedar',
  startState: () => null,
  token(stream) {
    if (stream.eatSpace()) return null;
    if (stream.match('//')) {
      stream.skipToEnd();
      return 'comment';
    }
    if (stream.match(/"(?:[^"\\]|\\.)*"?/)) return 'string';
    if (stream.match(/@\w+/)) return 'meta';
    if (stream.match(/\d+/)) return 'number';
    if (stream.match(/[A-Z]\w*(?=::)/)) return 'typeName';
    const word = stream.match(/[A-Za-z_]\w*/);
    if (word) {
      const text = stream.current();
      if (text === 'permit' || text === 'forbid') return 'keyword';
      if (KEYWORDS.includes(text)) return 'keyword';
      return VARIABLES.includes(text) ? 'atom' : 'propertyName';
    }
    stream.next();
    return 'operator';
  },
  languageData: { commentTokens: { line: '//' }, closeBrackets: { brackets: ['(', '[', '{', '"'] } },
});

function complete(context: CompletionContext) {
  const found = offer(context.state.sliceDoc(0, context.pos));
  if (!found || (!context.explicit && found.options.length === 0)) return null;
  return { from: found.from, options: found.options.map((it) => ({ label: it.label, type: it.kind })), validFor: /^\w*$/ };
}

const style = HighlightStyle.define([
  { tag: tags.keyword, color: 'var(--plot-4)', fontWeight: '600' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--ok)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--info)' },
  { tag: tags.comment, color: 'var(--faint)', fontStyle: 'italic' },
  { tag: tags.meta, color: 'var(--warn)' },
  { tag: tags.typeName, color: 'var(--info)' },
  { tag: tags.atom, color: 'var(--accent)' },
  { tag: tags.propertyName, color: 'var(--text)' },
]);

const look = (dark: boolean): Extension =>
  EditorView.theme(
    {
      '&': { backgroundColor: 'var(--panel)', color: 'var(--text)', fontSize: '13px', maxHeight: '64vh', minHeight: '160px' },
      '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.55' },
      '.cm-content': { caretColor: 'var(--text)' },
      '.cm-cursor': { borderLeftColor: 'var(--text)' },
      '&.cm-focused': { outline: 'none' },
      '.cm-gutters': { backgroundColor: 'var(--sunken)', color: 'var(--faint)', border: 'none' },
      '.cm-activeLine': { backgroundColor: 'color-mix(in srgb, var(--selected) 45%, transparent)' },
      '&.cm-focused .cm-selectionBackground, .cm-selectionBackground': { backgroundColor: 'var(--selected) !important' },
      '.cm-tooltip': { backgroundColor: 'var(--raised)', color: 'var(--text)', border: '1px solid var(--line)' },
      '.cm-tooltip-autocomplete ul li[aria-selected]': { backgroundColor: 'var(--accent)', color: 'var(--on-accent)' },
    },
    { dark },
  );

export interface How {
  dark: boolean;
  language: Language;
  readonly: boolean;
  label: string;
  onchange: (text: string) => void;
}

export function make(root: ShadowRoot, text: string, how: How): EditorView {
  const language: Extension = { cedar: [cedar, autocompletion({ override: [complete] })], json: [json(), autocompletion()], yaml: [yaml(), autocompletion()], text: [] }[how.language];
  const state = EditorState.create({
    doc: text,
    extensions: [
      lineNumbers(), history(), drawSelection(), indentOnInput(), bracketMatching(), closeBrackets(), highlightActiveLine(), lintGutter(),
      syntaxHighlighting(style), look(how.dark), language,
      // Tab leaves the editor after Escape, for those who have no mouse.
      keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, ...completionKeymap, indentWithTab]),
      EditorView.contentAttributes.of({ 'aria-label': how.label, 'data-keys': 'own', tabindex: '0' }),
      EditorState.readOnly.of(how.readonly),
      EditorView.lineWrapping,
      EditorView.updateListener.of((update) => {
        if (update.docChanged) how.onchange(update.state.doc.toString());
      }),
    ],
  });
  return new EditorView({ state, root, parent: root });
}

export function replace(view: EditorView, text: string): void {
  view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
}

export function mark(view: EditorView, marks: readonly Mark[]): void {
  const diagnostics = marks.map((it) => {
    const line = view.state.doc.line(Math.max(1, Math.min(it.line, view.state.doc.lines)));
    return { from: line.from, to: line.to, severity: it.warning ? ('warning' as const) : ('error' as const), message: it.message };
  });
  view.dispatch(setDiagnostics(view.state, diagnostics));
}

export function goToLine(view: EditorView, at: number): void {
  const line = view.state.doc.line(Math.max(1, Math.min(at, view.state.doc.lines)));
  view.dispatch({ selection: { anchor: line.from }, effects: EditorView.scrollIntoView(line.from, { y: 'center' }) });
}
