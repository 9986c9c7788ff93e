// What was asked and answered, and the draft, in this browser's storage and within bounds. Never an API key.

const STORE = "ferrotype.playground";
const MOST_ENTRIES = 40;
/** Browsers give a site about 5 MB, other pages of the same server included. */
const MOST_CHARACTERS = 500_000;

function readStore() {
  try {
    const { draft = null, history = [] } = JSON.parse(localStorage.getItem(STORE)) ?? {};
    return { draft, history: Array.isArray(history) ? history : [] };
  } catch {
    return { draft: null, history: [] }; // none yet, damaged, or storage is off
  }
}

function writeStore(store) {
  store.history.length = Math.min(store.history.length, MOST_ENTRIES);
  let text = JSON.stringify(store);
  while (text.length > MOST_CHARACTERS && store.history.length) {
    store.history.pop();
    text = JSON.stringify(store);
  }
  try {
    if (text.length <= MOST_CHARACTERS) localStorage.setItem(STORE, text);
  } catch { /* full or off: the page works without */ }
}

// Read anew each time: another tab may have written in between.
const saveDraft = (draft) => writeStore({ ...readStore(), draft });
const clearHistory = () => writeStore({ ...readStore(), history: [] });
function remember(entry) {
  const store = readStore();
  writeStore({ ...store, history: [entry, ...store.history] });
}
