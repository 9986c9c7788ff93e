// Code and diagnostics on the page. Writes text nodes only: whatever a model writes, it stays text.

/** Past this, colours would cost more time than they are worth. */
const MOST_COLOURED = 60_000;

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

const tokensOf = (text) => (text.length > MOST_COLOURED ? [["plain", text]] : rustTokens(text));

/** What stands under a textarea whose own text is transparent. */
function paintEditor(pre, text, coloured) {
  const tokens = coloured ? tokensOf(text) : [["plain", text]];
  // A last empty line has a height in a textarea, but not in a <pre>.
  pre.replaceChildren(...tokens.map(([kind, part]) => (kind === "plain" ? part : element("span", kind, part))), "\n");
}

/** Lines of [kind, text, given] triples; what is before `from` or past `to` was given, and not written by the model. */
function linesOf(text, from, to) {
  const lines = [[]];
  let at = 0;
  const put = (kind, part, given) => part.split("\n").forEach((piece, place) => {
    if (place) lines.push([]);
    if (piece) lines.at(-1).push([kind, piece, given]);
  });
  for (const [kind, part] of tokensOf(text)) {
    const cuts = [from - at, to - at].map((cut) => Math.min(Math.max(cut, 0), part.length));
    put(kind, part.slice(0, cuts[0]), true);
    put(kind, part.slice(cuts[0], cuts[1]), false);
    put(kind, part.slice(cuts[1]), true);
    at += part.length;
  }
  if (lines.length > 1 && !lines.at(-1).length) lines.pop();
  return lines;
}

/** A listing that grows: of each new text, only lines that changed are drawn again. */
class Listing {
  constructor(className = "listing") {
    this.element = element("pre", className);
    this.keys = [];
  }

  show(text, from = 0, to = text.length) {
    const lines = linesOf(text, from, to);
    lines.forEach((line, place) => {
      const key = JSON.stringify(line);
      if (this.keys[place] === key) return;
      this.keys[place] = key;
      const drawn = element("span", "line");
      drawn.append(...line.map(([kind, part, given]) => element("span", given ? `${kind} given` : kind, part)), "\n");
      const old = this.element.children[place];
      if (old) old.replaceWith(drawn); else this.element.append(drawn);
    });
    while (this.element.children.length > lines.length) this.element.lastChild.remove();
    this.keys.length = lines.length;
  }

  mark(diagnostics) {
    for (const { line, level } of diagnostics) {
      const drawn = this.element.children[line - 1];
      if (drawn && !drawn.classList.contains("error")) drawn.classList.add(level === "error" ? "error" : "warning");
    }
  }
}

/** A chat's answer: prose, and Rust between fences; without fences, what looks like Rust is. */
function chatParts(text) {
  if (!text.includes("```")) return [{ code: /^\s*(?:pub|fn|use|let|impl|struct|enum|trait|mod|const|#\[|\/\/)\b|[{;]\s*$/m.test(text), text }];
  const parts = text.split(/^[ \t]*```[^\n]*\n?/m).map((part, place) => ({ code: place % 2 === 1, text: part }));
  return parts.filter((part) => part.text.trim());
}

/** What rustc says, in its own colours. */
function paintRendered(pre, text) {
  let level = "error";
  pre.replaceChildren(...text.replace(/\n+$/, "").split("\n").map((line) => {
    const row = element("span", "line"), put = (className, part) => part && row.append(element("span", className, part));
    const head = /^(error|warning)(\[\w+\])?(:.*)$/.exec(line), source = /^(\s*\d*\s*(?:-->|\||=|\.\.\.))(.*)$/.exec(line);
    if (head) {
      level = head[1];
      row.classList.add("message");
      put(`said ${level}`, head[1] + (head[2] ?? ""));
      put("said", head[3]);
    } else if (source) {
      put("gutter", source[1]);
      const carets = /^([\s|_]*)(\^.*)$/.exec(source[2]);
      put("", carets ? carets[1] : source[2]);
      if (carets) put(`said ${level}`, carets[2]);
    } else put(/^\S+\.rs: /.test(line) ? "faint" : "", line);
    row.append("\n");
    return row;
  }));
}
