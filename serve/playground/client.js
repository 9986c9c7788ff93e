// The API as this page asks it: requests, streams of events, refusals in words, and the same request for a shell.

class Refused extends Error {
  constructor(message, { status = 0, code = null, verification = null } = {}) {
    super(message);
    Object.assign(this, { status, code, verification });
  }
}

const address = (path) => new URL(path, location.href.split(/[?#]/)[0]).href;
const headersFor = (key) => ({ "Content-Type": "application/json", ...(key && { Authorization: `Bearer ${key}` }) });

async function refusalOf(answer) {
  const body = await answer.json().catch(() => ({}));
  const said = body.error?.message ?? `The server answered ${answer.status} ${answer.statusText}.`;
  return new Refused(said, { status: answer.status, code: body.error?.code, verification: body.verification });
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(address(path), { ...options, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The server can't be reached. Is it still running?");
  }
  if (!answer.ok) throw await refusalOf(answer);
  return answer;
}

async function modelIds(key) {
  const { data } = await (await ask("v1/models", { headers: headersFor(key) })).json();
  return data.map((card) => card.id);
}

/** Yields {comment} or {data} as they come. A stream that breaks off is an error: half an answer must not pass for a whole. */
async function* events(path, body, key, signal) {
  const answer = await ask(path, { method: "POST", headers: headersFor(key), body: JSON.stringify(body), signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new Refused("The connection broke off before the answer's end.");
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        if (part.startsWith(":")) yield { comment: part.slice(1).trim() };
        if (!part.startsWith("data: ")) continue;
        if (part === "data: [DONE]") return;
        const data = JSON.parse(part.slice(6));
        if (data.error) throw new Refused(data.error.message, { code: data.error.code, verification: data.verification });
        yield { data };
      }
    }
  } catch (error) {
    if (error instanceof Refused || error.name === "AbortError") throw error;
    throw new Refused("The connection broke off before the answer's end.");
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** For POSIX shells. The key is never in it: it would stay in the shell's history. */
function curlOf(path, body, wantsKey) {
  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  return [
    `curl -sS ${quoted(address(path))}`,
    `-H 'Content-Type: application/json'`,
    ...(wantsKey ? ['-H "Authorization: Bearer $FERROTYPE_API_KEY"'] : []),
    `--data-raw ${quoted(JSON.stringify(body))}`,
  ].join(" \\\n  ");
}
