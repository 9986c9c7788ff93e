// The task browser: filters, search and keys over the JSON in #data. Text of a model's becomes text nodes, never markup.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const two = data.sides.length === 2;
  const filters = two
    ? ["all", "fixed", "broken", "both fail", "both pass"]
    : ["all", "fails", "passes"];
  const PAGE = 150; // list items made at a time: thousands at once would be felt
  const TOKENS = /(\/\/[^\n]*)|(b?"(?:[^"\\\n]|\\.)*"|b?'(?:[^'\\\n]|\\.)')|(\b(?:as|break|const|continue|crate|dyn|else|enum|fn|for|if|impl|in|let|loop|match|mod|move|mut|pub|ref|return|self|Self|static|struct|trait|type|unsafe|use|where|while|true|false)\b)|(\b(?:[iu](?:8|16|32|64|128|size)|f32|f64|bool|char|str|[A-Z]\w*)\b)|(\b\d[\w.]*\b)|(\b\w+!)/g;
  const CLASSES = ["comment", "string", "keyword", "type", "number", "macro"];
  const list = document.getElementById("list");
  const pane = document.getElementById("task");
  const search = document.getElementById("search");
  let filter = "all", shown = [], current = -1;

  const make = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };
  const dot = (color) => make("i", { class: "dot", style: `background:var(--${color})` });
  const haystack = (task) =>
    task.haystack ??= [task.id, task.family, task.split, ...task.sides.flatMap((s) =>
      [s.outcome, s.source, s.cheat ?? "", ...s.notes.flatMap((n) => [n[3], n[4]])])].join("\n").toLowerCase();

  function colored(line) {
    const parts = [];
    let place = 0;
    for (const match of line.matchAll(TOKENS)) {
      parts.push(line.slice(place, match.index));
      const kind = CLASSES[match.slice(1).findIndex((group) => group !== undefined)];
      parts.push(make("span", { class: kind }, match[0]));
      place = match.index + match[0].length;
    }
    parts.push(line.slice(place));
    return parts;
  }

  // Lines of `mine` that are in no longest common subsequence with `other`.
  function changed(mine, other) {
    const table = Array.from({ length: mine.length + 1 }, () => new Uint16Array(other.length + 1));
    for (let i = mine.length - 1; i >= 0; i--)
      for (let j = other.length - 1; j >= 0; j--)
        table[i][j] = mine[i] === other[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
    const found = new Set();
    let i = 0, j = 0;
    while (i < mine.length) {
      if (j < other.length && mine[i] === other[j]) { i++; j++; }
      else if (j < other.length && table[i][j + 1] > table[i + 1][j]) j++;
      else found.add(i++);
    }
    return found;
  }

  function listing(answer, other) {
    const lines = answer.source.replace(/\n+$/, "").split("\n");
    const differs = other ? changed(lines, other.source.replace(/\n+$/, "").split("\n")) : new Set();
    const code = make("code");
    lines.forEach((line, index) => {
      const number = index + 1;
      const given = number <= answer.given ? " given" : "";
      const row = make("span", { class: `row${given}${differs.has(index) ? " changed" : ""}` });
      row.append(make("i", {}, `${String(number).padStart(3)} `), ...colored(line));
      code.append(row);
      for (const [at, column, level, errorCode, message, label] of answer.notes) {
        if (at !== number) continue;
        const name = errorCode ? `${level}[${errorCode}]` : level;
        const said = `${name}: ${message}${label ? ` (${label})` : ""}`;
        const text = column <= 24 ? `${" ".repeat(3 + column)}^ ${said}` : `    column ${column}: ${said}`;
        code.append(make("span", { class: `row ${level === "error" ? "error" : "warning"}` }, text));
      }
    });
    if (answer.cut) code.append(make("span", { class: "row given" }, "... cut here"));
    return make("pre", { tabindex: "0", "aria-label": "answer" }, code);
  }

  function side(answer, index, other) {
    const about = data.sides[index];
    const head = make("div", { class: "side-head" }, dot(about.color), make("b", {}, about.title),
      make("span", { class: `badge ${answer.state}` }, answer.outcome),
      make("span", { class: "faint" }, `reward ${answer.reward} of 30${answer.cheat ? `, cheat: ${answer.cheat}` : ""}`));
    const drawn = Object.entries(answer.drawn);
    const total = drawn.reduce((sum, [, count]) => sum + count, 0);
    const facts = [answer.cases, `${answer.tokens} tokens`, answer.ms ? `${answer.ms} ms` : "",
      total > 1 ? `of ${total} sampled answers ${answer.drawn.passed ?? 0} pass` : "",
      answer.mode === "greedy" ? "the likeliest answer" : ""].filter(Boolean);
    const orphans = answer.notes.filter(([line]) => !line).map((note) => make("p", { class: "faint" }, `${note[2]}: ${note[4]}`));
    return make("section", {}, head, listing(answer, other), ...orphans, make("p", { class: "faint" }, `${facts.join("; ")}.`));
  }

  function open(place, focus) {
    if (!shown.length) { pane.replaceChildren(make("p", { class: "missing" }, "No task is like that.")); current = -1; return; }
    current = Math.max(0, Math.min(place, shown.length - 1));
    while (list.children.length <= current) more();
    const task = shown[current];
    for (const item of list.children) item.setAttribute("aria-selected", item.dataset.place === String(current));
    list.setAttribute("aria-activedescendant", `task-${current}`);
    const title = make("header", {}, make("b", {}, task.id),
      make("span", { class: `badge ${task.standing.replace(" ", "-")}` }, task.standing),
      make("span", { class: "faint" }, `${task.split.replace("_", " ")}, family ${task.family}${task.verified ? "" : "; no known solution"}`));
    const [first, second] = task.sides;
    const sides = make("div", { class: two ? "sides" : "sides one" }, side(first, 0, second));
    if (two) sides.append(side(second, 1, first));
    pane.replaceChildren(make("article", { class: "card" }, title, sides));
    const item = list.children[current];
    const box = list.getBoundingClientRect(), own = item.getBoundingClientRect();
    if (own.top < box.top) list.scrollTop -= box.top - own.top;
    if (own.bottom > box.bottom) list.scrollTop += own.bottom - box.bottom;
    if (focus) pane.focus({ preventScroll: true });
    history.replaceState(null, "", `#filter=${encodeURIComponent(filter)}&task=${encodeURIComponent(task.id)}`);
  }

  function more() {
    const from = list.children.length;
    for (let place = from; place < Math.min(from + PAGE, shown.length); place++) {
      const task = shown[place];
      const marks = make("span", { class: "marks" }, ...task.sides.map((s) => dot(s.state)));
      const item = make("li", { "data-place": place, id: `task-${place}`, role: "option" }, marks, task.id,
        make("small", {}, two ? task.standing : task.sides[0].outcome));
      item.addEventListener("click", () => open(place));
      list.append(item);
    }
  }

  function refresh(wanted) {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = data.tasks.filter((task) =>
      (filter === "all" || task.standing === filter) && words.every((word) => haystack(task).includes(word)));
    for (const button of document.querySelectorAll("#filters button"))
      button.setAttribute("aria-pressed", button.dataset.filter === filter);
    list.replaceChildren();
    list.scrollTop = 0;
    more();
    open(Math.max(0, shown.findIndex((task) => task.id === wanted)));
  }

  filters.forEach((name, index) => {
    const count = name === "all" ? data.tasks.length : data.tasks.filter((task) => task.standing === name).length;
    const button = make("button", { type: "button", "data-filter": name, "aria-keyshortcuts": index + 1 }, `${name} ${count}`);
    button.addEventListener("click", () => { filter = name; refresh(); });
    document.getElementById("filters").append(button);
  });
  if (data.left_out) pane.before(make("p", { class: "missing" }, `${data.left_out} more tasks are in the result's file.`));
  list.addEventListener("scroll", () => {
    if (list.scrollTop + list.clientHeight > list.scrollHeight - 200) more();
  });
  list.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    open(current + (event.key === "ArrowDown" ? 1 : -1));
    event.preventDefault();
  });
  search.addEventListener("input", () => refresh());
  search.addEventListener("keydown", (event) => { if (event.key === "Escape" || event.key === "Enter") search.blur(); });
  document.addEventListener("keydown", (event) => {
    if (event.target === search || event.ctrlKey || event.metaKey || event.altKey) return;
    const number = Number(event.key);
    if (event.key === "j" || event.key === "k") open(current + (event.key === "j" ? 1 : -1), true);
    else if (event.key === "/") search.focus();
    else if (number >= 1 && number <= filters.length) { filter = filters[number - 1]; refresh(); }
    else return;
    event.preventDefault();
  });
  const link = new URLSearchParams(location.hash.slice(1));
  if (filters.includes(link.get("filter"))) filter = link.get("filter");
  refresh(link.get("task"));
})();
