"""Small algorithms that have names: two sums, ciphers, numerals, sieves, searches."""

from __future__ import annotations

from bisect import bisect_left
from itertools import takewhile
from random import Random
from string import ascii_lowercase, ascii_uppercase

from reward_farm.problem import Value
from trainer.tasks.family import Draft, family, rust
from trainer.tasks.inputs import integer, text, word
from trainer.tasks.task import Split

SMALL = ("i32", "i64")


def _numbers(rng: Random, t: str) -> list[Value]:
    return [integer(rng, t) for _ in range(rng.randint(1, 7))]


def _best_run(xs: list[int]) -> int:
    return max((sum(xs[i:j]) for i in range(len(xs)) for j in range(i + 1, len(xs) + 1)), default=0)


@family("algorithms", "loops", difficulty=0.8)
def subarrays(rng: Random) -> Draft:
    t = rng.choice(SMALL)
    k = rng.randint(2, 4)
    best = Draft(
        entry="best_run",
        params={"xs": f"&[{t}]"},
        returns=t,
        docs=(
            "Returns the largest sum of a run of one or more neighbouring elements of `$xs`, or 0 if it is empty.",
            "Finds the greatest sum of consecutive elements of `$xs`, at least one; 0 for no elements.",
        ),
        bodies=(
            rust("""
                let Some((&first, rest)) = $xs.split_first() else {
                    return 0;
                };
                let (mut best, mut ending) = (first, first);
                for &x in rest {
                    ending = x.max(ending + x);
                    best = best.max(ending);
                }
                best
            """),
        ),
        oracle=_best_run,
        inputs=lambda rng: (_numbers(rng, t),),
        edges=(([],), ([-3, -1],)),
    )
    window = Draft(
        entry=f"best_window_of_{k}",
        params={"xs": f"&[{t}]"},
        returns=f"Option<{t}>",
        docs=(
            f"Returns the largest sum of {k} neighbouring elements of `$xs`, or `None` if it has fewer.",
            f"Finds the greatest sum of {k} consecutive elements of `$xs`, if it has as many.",
        ),
        bodies=(f"$xs.windows({k}).map(|window| window.iter().sum()).max()",),
        oracle=lambda xs: max((sum(xs[i : i + k]) for i in range(len(xs) - k + 1)), default=None),
        inputs=lambda rng: (_numbers(rng, t),),
        edges=(([],), ([1] * (k - 1),), ([1] * k,)),
    )
    return rng.choice((best, window, window))


def _pair(xs: list[int], target: int) -> tuple[int, int] | None:
    return next(((i, j) for i in range(len(xs)) for j in range(i + 1, len(xs)) if xs[i] + xs[j] == target), None)


@family("algorithms", "search", "option", difficulty=0.78)
def searches(rng: Random) -> Draft:
    t = rng.choice(SMALL)

    def two(rng: Random) -> tuple[Value, ...]:
        xs: list[int] = [integer(rng, t) for _ in range(rng.randint(2, 6))]
        return list(xs), sum(rng.sample(xs, 2)) if rng.random() < 0.6 else integer(rng, t)

    def ascending(rng: Random) -> tuple[Value, ...]:
        xs = sorted({integer(rng, t) for _ in range(rng.randint(1, 7))})
        return list(xs), rng.choice(xs) if rng.random() < 0.5 else integer(rng, t)

    two_sum = Draft(
        entry="two_with_sum",
        params={"xs": f"&[{t}]", "target": t},
        returns="Option<(usize, usize)>",
        docs=(
            "Returns the first two indices, in order, at which elements of `$xs` add up to `$target`, or `None`.",
            "Finds the first pair of places in `$xs` whose elements sum to `$target`, if there is one.",
        ),
        bodies=(
            rust("""
                for i in 0..$xs.len() {
                    for j in i + 1..$xs.len() {
                        if $xs[i] + $xs[j] == $target {
                            return Some((i, j));
                        }
                    }
                }
                None
            """),
        ),
        oracle=_pair,
        inputs=two,
        edges=(([], 0), ([3], 6)),
    )
    place = Draft(
        entry="insertion_place",
        params={"xs": f"&[{t}]", "target": t},
        returns="usize",
        docs=(
            "Returns the index at which `$target` would be put into the ascending `$xs`, before equal elements.",
            "Finds the first place of the ascending `$xs` whose element is not less than `$target`.",
        ),
        bodies=(
            "$xs.partition_point(|&x| x < $target)",
            rust("""
                let (mut low, mut high) = (0, $xs.len());
                while low < high {
                    let middle = (low + high) / 2;
                    if $xs[middle] < $target {
                        low = middle + 1;
                    } else {
                        high = middle;
                    }
                }
                low
            """),
        ),
        oracle=bisect_left,
        inputs=ascending,
        edges=(([], 1), ([1, 2], 3), ([1, 2], 0)),
    )
    return rng.choice((two_sum, place))


def _shifted(s: str, by: int) -> str:
    first = {**dict.fromkeys(ascii_lowercase, "a"), **dict.fromkeys(ascii_uppercase, "A")}
    return "".join(chr((ord(c) - ord(first[c]) + by) % 26 + ord(first[c])) if c in first else c for c in s)


@family("algorithms", "chars", "match", difficulty=0.75)
def ciphers(rng: Random) -> Draft:
    k = rng.randint(1, 25)
    body = """
        let shifted = |c: char| match c {
            'a'..='z' => ((c as u8 - b'a' + BY) % 26 + b'a') as char,
            'A'..='Z' => ((c as u8 - b'A' + BY) % 26 + b'A') as char,
            _ => c,
        };
        $s.chars().map(shifted).collect()
    """
    fixed = Draft(
        entry=f"rotate_letters_{k}",
        params={"s": "&str"},
        returns="String",
        docs=(
            f"Replaces each letter of `$s` by the one {k} places later, going round after z; case and the rest stay.",
            f"Shifts the letters of `$s` by {k} in the alphabet, from z on to a, and keeps all else.",
        ),
        bodies=(rust(body.replace("BY", str(k))),),
        oracle=lambda s: _shifted(s, k),
        inputs=lambda rng: (text(rng),),
        edges=(("",), ("xyzXYZ",)),
    )
    given = Draft(
        entry="caesar",
        params={"s": "&str", "shift": "u8"},
        returns="String",
        docs=(
            "Replaces each letter of `$s` by the one `$shift` places later, going round after z; `$shift` is below 26.",
            "Shifts the letters of `$s` by `$shift` (0 to 25) in the alphabet, and keeps case and all else.",
        ),
        bodies=(rust(body.replace("BY", "$shift")),),
        oracle=_shifted,
        inputs=lambda rng: (text(rng), rng.randint(0, 25)),
        edges=(("", 3), ("xyzXYZ", 1)),
    )
    return rng.choice((fixed, fixed, given))


DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
NUMERALS = ((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"),
            (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))  # fmt: skip


def _in_base(n: int, base: int) -> str:
    return (_in_base(n // base, base) if n >= base else "") + DIGITS[n % base]


def _roman(n: int) -> str:
    out = ""
    for value, letters in NUMERALS:
        out += letters * (n // value)
        n %= value
    return out


@family("algorithms", "recursion", "strings", difficulty=0.78, split=Split.VALIDATION)
def numerals(rng: Random) -> Draft:
    base = rng.choice((2, 3, 5, 8))
    written = Draft(
        entry=f"digits_in_base_{base}",
        params={"n": "u32"},
        returns="String",
        docs=(f"Writes `$n` in base {base}.", f"Returns the digits of `$n` in base {base}, as text."),
        bodies=(
            rust(f"""
                if $n < {base} {{
                    return $n.to_string();
                }}
                format!("{{}}{{}}", $self($n / {base}), $n % {base})
            """),
        ),
        oracle=lambda n: _in_base(n, base),
        inputs=lambda rng: (rng.choice((rng.randint(0, 9), rng.randint(0, 300))),),
        edges=((0,), (base,), (base - 1,)),
    )
    pairs = ",\n                    ".join(f'({value}, "{letters}")' for value, letters in NUMERALS)
    roman = Draft(
        entry="roman",
        params={"n": "u32"},
        returns="String",
        docs=("Writes `$n` as a Roman numeral, such as XIV for 14.", "Returns the Roman numeral of `$n`, below 4000."),
        bodies=(
            rust(f"""
                let numerals = [
                    {pairs},
                ];
                let (mut left, mut out) = ($n, String::new());
                for (value, letters) in numerals {{
                    while left >= value {{
                        out.push_str(letters);
                        left -= value;
                    }}
                }}
                out
            """),
        ),
        oracle=_roman,
        inputs=lambda rng: (rng.choice((rng.randint(1, 60), rng.randint(1, 3999))),),
        edges=((4,), (1994,), (3999,)),
    )
    return rng.choice((written, written, roman))


def _prefix(a: str, b: str) -> str:
    return "".join(x for x, _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


@family("algorithms", "strings", "zip", difficulty=0.7, split=Split.VALIDATION)
def compare_texts(rng: Random) -> Draft:
    def alike(rng: Random) -> tuple[Value, ...]:
        a = word(rng)
        return a, (a[: rng.randint(0, len(a))] + word(rng)) if rng.random() < 0.6 else "".join(rng.sample(a, len(a)))

    prefix = Draft(
        entry="shared_prefix",
        params={"a": "&str", "b": "&str"},
        returns="String",
        docs=(
            "Returns the longest text that both `$a` and `$b` begin with.",
            "Finds the common prefix of `$a` and `$b`.",
        ),
        bodies=("$a.chars().zip($b.chars()).take_while(|(x, y)| x == y).map(|(x, _)| x).collect()",),
        oracle=_prefix,
        inputs=alike,
        edges=(("", "a"), ("ab", "ab")),
    )
    anagram = Draft(
        entry="are_anagrams",
        params={"a": "&str", "b": "&str"},
        returns="bool",
        docs=("Checks whether `$a` and `$b` have the same characters, each as often, in any order.",),
        bodies=(
            rust("""
                let sorted = |text: &str| {
                    let mut chars: Vec<char> = text.chars().collect();
                    chars.sort_unstable();
                    chars
                };
                sorted($a) == sorted($b)
            """),
        ),
        oracle=lambda a, b: sorted(a) == sorted(b),
        inputs=alike,
        edges=(("", ""), ("ab", "ba"), ("aab", "abb")),
    )
    differing = Draft(
        entry="differing_places",
        params={"a": "&str", "b": "&str"},
        returns="usize",
        docs=("Counts the places at which `$a` and `$b` have different characters, up to the end of the shorter.",),
        bodies=("$a.chars().zip($b.chars()).filter(|(x, y)| x != y).count()",),
        oracle=lambda a, b: sum(x != y for x, y in zip(a, b, strict=False)),
        inputs=alike,
        edges=(("", ""), ("ab", "ba")),
    )
    return rng.choice((prefix, anagram, differing))


FAMILIES = (subarrays, searches, ciphers, numerals, compare_texts)
