// The page: what is on it becomes a request, and what comes back is shown.

const $ = (id) => document.getElementById(id);
const MODES = {
  // No newline after the brace: tokenizers join it with what follows.
  complete: { label: "Code to go on with", prompt: "/// Collects the positions of the elements of `items` greater than 10.\npub fn indices_above_10(items: &[i32]) -> Vec<usize> {" },
  fill: { label: "Code before the gap", prompt: "pub fn largest(values: &[i32]) -> Option<i32> {\n    let mut best = None;", suffix: "\n    best\n}\n" },
  chat: { label: "Message", prompt: "Write a Rust function to reverse a string" },
};
const NUMBERS = ["max_tokens", "temperature", "top_p", "seed", "candidates"];
const DEFAULTS = { max_tokens: "128", temperature: "0.4", top_p: "1", seed: "", candidates: "4" };
const VERDICTS = { verified: "rustc accepts this.", failed: "rustc does not accept this.", unverified: "Not checked." };

const state = { texts: {}, running: null, key: "", wantsKey: false, answer: null };
const editors = [...document.querySelectorAll(".editor")].map((box) => ({ pre: box.children[0], area: box.children[1] }));
const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;
const choose = (name, value) => { document.querySelector(`input[name=${name}][value=${CSS.escape(value)}]`).checked = true; };

// ---- the form ----

function readForm() {
  const form = { mode: chosen("mode"), verify: chosen("verify"), model: $("model").value, prompt: $("prompt").value,
    suffix: $("suffix").value, entry: $("entry").value, tests: $("tests").value };
  for (const name of NUMBERS) form[name] = $(name).value;
  return form;
}

function writeForm(form) {
  if (form.mode in MODES) choose("mode", form.mode);
  if (["off", "best_effort", "required"].includes(form.verify)) choose("verify", form.verify);
  for (const name of [...NUMBERS, "prompt", "suffix", "entry", "tests"]) if (typeof form[name] === "string") $(name).value = form[name];
  if ([...$("model").options].some((option) => option.value === form.model)) $("model").value = form.model;
  state.mode = chosen("mode");
  showForm();
}

function showForm() {
  const mode = chosen("mode"), verifies = chosen("verify") !== "off" && !$("verify").disabled;
  $("gap").hidden = mode !== "fill";
  $("verify-fields").hidden = !verifies;
  $("prompt").setAttribute("aria-label", MODES[mode].label);
  for (const { pre, area } of editors) paintEditor(pre, area.value, mode !== "chat");
}

function switchMode() {
  state.texts[state.mode] = { prompt: $("prompt").value, suffix: $("suffix").value };
  state.mode = chosen("mode");
  const { prompt, suffix = "" } = state.texts[state.mode] ?? MODES[state.mode];
  $("prompt").value = prompt;
  $("suffix").value = suffix;
  showForm();
}

/** What to send, and where. Numbers that are none are left to the server, which says what it takes. */
function requestOf(form) {
  const body = { model: form.model || undefined };
  if (form.mode === "chat") body.messages = [{ role: "user", content: form.prompt }];
  else body.prompt = form.prompt;
  if (form.mode === "fill") body.suffix = form.suffix;
  for (const name of ["max_tokens", "temperature", "top_p", "seed"]) if (form[name] !== "") body[name] = Number(form[name]);
  if (form.verify !== "off" && !$("verify").disabled) {
    const entry = form.entry.trim(), tests = form.tests.trim();
    body.verify = { mode: form.verify, candidates: Number(form.candidates) || undefined, entry: entry || undefined };
    if (tests) Object.assign(body.verify, { level: "test", tests });
  }
  return { path: form.mode === "chat" ? "v1/chat/completions" : "v1/completions", body };
}

function whyNot(form) {
  if (!form.prompt.trim()) return ["prompt", "Write something first."];
  if (form.mode === "fill" && !form.suffix.trim()) return ["suffix", "Write what comes after the gap, or complete instead."];
  for (const name of NUMBERS) if (!$(name).validity.valid) return [name, `${$(name).labels[0].textContent.trim()}: ${$(name).validationMessage}`];
  if (form.verify !== "off" && form.tests.trim() && !form.entry.trim()) return ["entry", "Name the function that the tests call."];
  return null;
}

// ---- the answer ----

function say(text) { $("status").textContent = text; }

function complain(text) {
  $("trouble").textContent = text;
  $("trouble").hidden = !text;
}

function clearAnswer() {
  state.answer = { text: "", listings: [] };
  complain("");
  $("text").replaceChildren();
  $("figures").replaceChildren();
  $("candidates-seen").replaceChildren();
  for (const id of ["verdict", "candidates-seen", "copy"]) $(id).hidden = true;
}

function showText(form, text) {
  const parts = form.mode === "chat" ? chatParts(text) : [{ code: true, text: form.prompt + text + (form.mode === "fill" ? form.suffix : "") }];
  const bounds = form.mode === "chat" ? [] : [form.prompt.length, form.prompt.length + text.length];
  const listings = state.answer.listings;
  parts.forEach((part, place) => {
    const name = part.code ? "listing" : "prose";
    if (listings[place]?.element.className !== name) {
      const made = part.code ? new Listing() : { element: element("p", "prose"), show(prose) { this.element.textContent = prose.trim(); } };
      if (listings[place]) listings[place].element.replaceWith(made.element); else $("text").append(made.element);
      listings[place] = made;
    }
    listings[place].show(part.code && form.mode === "chat" ? part.text.replace(/\n$/, "") : part.text, ...bounds);
  });
  for (const extra of listings.splice(parts.length)) extra.element.remove();
  $("copy").hidden = !text;
}

function showCandidate(comment) {
  const [, number, outcome] = /^candidate (\d+) (\w+)/.exec(comment) ?? [];
  if (!outcome) return;
  const item = element("li", outcome === "passed" ? "good" : "", outcome.replaceAll("_", " ")), seen = [...$("candidates-seen").children];
  item.value = Number(number) + 1;
  $("candidates-seen").insertBefore(item, seen.find((other) => other.value > item.value) ?? null);
  $("candidates-seen").hidden = false;
  say(`${seen.length + 1} checked …`);
}

function showVerdict(form, said) {
  const { status, reason, diagnostics = [], rendered = "" } = said;
  $("verdict").hidden = false;
  $("verdict").className = status;
  $("verdict-word").textContent = [VERDICTS[status] ?? status, status === "unverified" && reason ? `${reason}.` : ""].join(" ").trim();
  if (status === "failed" && !diagnostics.some((found) => found.level === "error")) $("verdict-word").textContent = "Not good enough.";
  $("rendered").hidden = !rendered;
  paintRendered($("rendered"), rendered);
  if (form.mode !== "chat") state.answer.listings[0]?.mark(diagnostics);
}

const seconds = (milliseconds) => (milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`);

function showFigures(figures) {
  $("figures").replaceChildren(...figures.map(([name, value]) => {
    const pair = element("div");
    pair.append(element("dt", "", name), element("dd", "", value));
    return pair;
  }));
}

function figuresOf({ begun, first, last, usage, verification }) {
  const now = performance.now(), tokens = usage?.completion_tokens, figures = [];
  if (tokens !== undefined) figures.push(["tokens", String(tokens)]);
  if (verification) {
    const { candidates, checked, good, timings = {} } = verification;
    figures.push(["good", `${good} of ${checked}`], ["candidates", String(candidates)]);
    if (timings.verify_ms !== undefined) figures.push(["rustc", seconds(timings.verify_ms)]);
  } else {
    if (last) figures.push(["tokens/s", (tokens / (last - begun) * 1000).toFixed(0)]);
    if (first) figures.push(["first after", seconds(first - begun)]);
  }
  return [...figures, ["in all", seconds(now - begun)]];
}

function showEntry(entry) {
  clearAnswer();
  state.answer.text = entry.answer;
  showText(entry.form, entry.answer);
  if (entry.verification) showVerdict(entry.form, entry.verification);
  showFigures(entry.figures);
  complain(entry.trouble);
  say(entry.outcome);
}

// ---- asking ----

async function run() {
  const form = readForm(), missing = whyNot(form);
  if (missing) {
    complain(missing[1]);
    $(missing[0]).focus();
    return;
  }
  const controller = new AbortController(), clock = { begun: performance.now() };
  state.running = controller;
  clearAnswer();
  saveDraft(form);
  document.body.classList.add("running");
  $("run").firstElementChild.textContent = "Stop";
  $("run").lastElementChild.textContent = "Esc";
  say("Writing …");
  if (matchMedia("(max-width: 860px)").matches) $("answer").scrollIntoView();
  const { path, body } = requestOf(form), answer = state.answer;
  let outcome, finish = null, drawing = 0, trouble = "";
  const draw = () => { drawing = 0; showText(form, answer.text); };
  if (form.mode !== "chat") draw();
  try {
    for await (const { data, comment } of events(path, { ...body, stream: true, stream_options: { include_usage: true } }, state.key, controller.signal)) {
      if (comment) showCandidate(comment);
      if (!data) continue;
      const choice = data.choices?.[0], piece = choice?.text ?? choice?.delta?.content ?? "";
      if (piece) {
        clock.last = performance.now();
        clock.first ??= clock.last;
        answer.text += piece;
        drawing ||= requestAnimationFrame(draw);
      }
      finish = choice?.finish_reason ?? finish;
      clock.usage = data.usage ?? clock.usage;
      clock.verification = data.verification ?? clock.verification;
    }
    outcome = finish === "length" ? "Done: all tokens used." : "Done.";
  } catch (error) {
    outcome = error.name === "AbortError" ? "Stopped." : "Failed.";
    if (error.name !== "AbortError") {
      trouble = error instanceof Refused ? error.message : `The page failed: ${error.message}`;
      clock.verification = error.verification;
      if (error.status === 401) refuseKey();
      if (error.status === 401 && !state.key) trouble = "This server wants an API key.";
    }
  }
  cancelAnimationFrame(drawing);
  draw();
  if (clock.verification) showVerdict(form, clock.verification);
  complain(trouble);
  const figures = trouble && !clock.verification ? [] : figuresOf(clock);
  showFigures(figures);
  say(outcome);
  document.body.classList.remove("running");
  $("run").firstElementChild.textContent = "Run";
  $("run").lastElementChild.textContent = "Ctrl ↵";
  state.running = null;
  const { status, reason, diagnostics, rendered } = clock.verification ?? {};
  const verification = clock.verification && { status, reason, diagnostics, rendered };
  remember({ at: Date.now(), form, answer: answer.text, verification, figures, trouble, outcome });
}

const stop = () => state.running?.abort();

function refuseKey() {
  state.wantsKey = true;
  $("key-field").hidden = false;
  $("key").focus();
}

async function readModels() {
  const before = $("model").value || readStore().draft?.model;
  try {
    const ids = await modelIds(state.key), verifying = ids.some((id) => id.endsWith(":verified"));
    $("model").replaceChildren(...ids.filter((id) => !id.endsWith(":verified")).map((id) => new Option(id, id)));
    if (ids.includes(before)) $("model").value = before;
    $("verify").disabled = !verifying;
    $("no-verify").hidden = verifying;
    complain("");
  } catch (error) {
    complain(error.status === 401 && !state.key ? "This server wants an API key." : error.message);
    if (error.status === 401) refuseKey();
  }
  showForm();
}

async function copied(button, text) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch { // browsers allow it to pages of this machine and of https alone; the old way works on any
    const area = element("textarea", "unseen");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.textContent = "Copied";
  say("Copied.");
  setTimeout(() => { button.textContent = label; }, 1500);
}

// ---- history ----

function openHistory() {
  const { history } = readStore(), words = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  $("past").replaceChildren(...history.map((entry) => {
    const item = element("li"), button = element("button", "", "");
    button.type = "button";
    button.append(element("span", "what", entry.form.prompt.trim().slice(0, 200)),
      element("span", "when", `${words.format(entry.at)} · ${entry.form.mode} · ${entry.verification?.status ?? entry.outcome.replace(/[.:].*/, "").toLowerCase()}`));
    button.addEventListener("click", () => {
      $("history").close();
      stop();
      writeForm(entry.form);
      showEntry(entry);
      $("prompt").focus();
    });
    item.append(button);
    return item;
  }));
  if (!history.length) $("past").append(element("li", "faint", "Nothing was asked yet."));
  $("clear-history").hidden = !history.length;
  if (!$("history").open) $("history").showModal();
}

// ---- wiring ----

$("ask").addEventListener("submit", (event) => { event.preventDefault(); if (state.running) stop(); else run(); });
document.addEventListener("keydown", (event) => {
  if (event.isComposing || $("history").open) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); if (!state.running) run(); }
  if (event.key === "Escape" && state.running) { event.preventDefault(); stop(); }
});
for (const radio of document.querySelectorAll("input[name=mode]")) radio.addEventListener("change", switchMode);
for (const radio of document.querySelectorAll("input[name=verify]")) radio.addEventListener("change", showForm);
for (const { pre, area } of editors) {
  area.addEventListener("input", () => paintEditor(pre, area.value, state.mode !== "chat"));
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.ctrlKey || event.metaKey || event.shiftKey || event.isComposing || state.mode === "chat") return;
    const before = area.value.slice(0, area.selectionStart), indent = /[ \t]*/.exec(before.slice(before.lastIndexOf("\n") + 1))[0];
    // Not `setRangeText`: it would take undo away.
    if (document.execCommand("insertText", false, `\n${indent}${before.endsWith("{") ? "    " : ""}`)) event.preventDefault();
  });
}
$("ask").addEventListener("change", () => saveDraft(readForm()));
$("curl").addEventListener("click", () => {
  const { path, body } = requestOf(readForm());
  copied($("curl"), curlOf(path, body, state.wantsKey));
});
$("copy").addEventListener("click", () => copied($("copy"), state.answer.text));
$("key-field").addEventListener("submit", (event) => { event.preventDefault(); $("key").blur(); });
$("key").addEventListener("change", () => {
  state.key = $("key").value.trim();
  try { sessionStorage.setItem(`${STORE}.key`, state.key); } catch { /* storage is off: asked for again */ }
  readModels();
});
$("open-history").addEventListener("click", openHistory);
$("close-history").addEventListener("click", () => $("history").close());
$("clear-history").addEventListener("click", () => { clearHistory(); openHistory(); });

try { state.key = sessionStorage.getItem(`${STORE}.key`) ?? ""; } catch { /* storage is off */ }
if (state.key) { state.wantsKey = true; $("key-field").hidden = false; $("key").value = state.key; }
if (/Mac|iPhone|iPad/.test(navigator.userAgent)) $("run").lastElementChild.textContent = "⌘ ↵";
clearAnswer();
writeForm({ ...DEFAULTS, mode: "complete", verify: "off", prompt: MODES.complete.prompt, ...readStore().draft });
readModels();
