// Rust's tokens, for their colours: [kind, text] pairs that are the whole text, in order. Takes any text, and never fails.

const words = (text) => new Set(text.split(" "));
const KEYWORDS = words("as async await box break const continue crate do dyn else enum extern false fn for gen if impl in let loop " +
  "macro_rules match mod move mut pub ref return self Self static struct super trait true try type union unsafe use where while yield");
const PRIMITIVES = words("bool char str i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize f32 f64");
const TOKEN = new RegExp([
  String.raw`(?<doc>//[/!][^\n]*)`,
  String.raw`(?<comment>//[^\n]*)`,
  String.raw`(?<block>/\*)`,
  String.raw`(?<raw>[bc]?r(?<hashes>#*)")`,
  String.raw`(?<string>[bc]?"(?:\\[^]|[^"\\])*"?)`,
  String.raw`(?<char>b?'(?:\\(?:u\{[^}'\n]*\}|x[0-9a-fA-F]{2}|[^])|[^'\\\n])')`,
  String.raw`(?<lifetime>'[\p{L}_][\p{L}\p{N}_]*)`,
  String.raw`(?<attribute>#!?\[[^\]\n]*\]?)`,
  String.raw`(?<number>\d\w*(?:\.\d\w*)?)`,
  String.raw`(?<macro>[\p{L}_][\p{L}\p{N}_]*!(?!=))`,
  String.raw`(?<word>(?:r#)?[\p{L}_][\p{L}\p{N}_]*)`,
  String.raw`(?<plain>\s+|[^])`,
].join("|"), "uy");

function rustTokens(text) {
  const tokens = [];
  let before = "";
  for (TOKEN.lastIndex = 0; TOKEN.lastIndex < text.length;) {
    const start = TOKEN.lastIndex, found = TOKEN.exec(text).groups;
    let end = TOKEN.lastIndex, kind = Object.keys(found).find((name) => name !== "hashes" && found[name] !== undefined);
    if (kind === "block") { end = endOfBlock(text, end); kind = "comment"; }
    if (kind === "raw") {
      const close = `"${found.hashes}`, at = text.indexOf(close, end);
      end = at < 0 ? text.length : at + close.length;
      kind = "string";
    }
    if (kind === "char") kind = "string";
    if (kind === "word") kind = kindOfWord(found.word, before === "fn" || text[end] === "(");
    TOKEN.lastIndex = end;
    tokens.push([kind, text.slice(start, end)]);
    if (text.slice(start, end).trim()) before = found.word;
  }
  return tokens;
}

function kindOfWord(word, called) {
  if (KEYWORDS.has(word)) return "keyword";
  if (PRIMITIVES.has(word) || /^\p{Lu}/u.test(word)) return "type";
  return called ? "function" : "plain";
}

function endOfBlock(text, from) {
  const edges = /\/\*|\*\//g;
  edges.lastIndex = from;
  for (let depth = 1, edge; (edge = edges.exec(text));) {
    depth += edge[0] === "/*" ? 1 : -1;
    if (depth === 0) return edges.lastIndex;
  }
  return text.length;
}
