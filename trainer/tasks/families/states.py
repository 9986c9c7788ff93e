"""State machines over text and commands: brackets, runs, a robot, a turnstile."""

from __future__ import annotations

from itertools import groupby
from random import Random

from reward_farm.problem import Value
from trainer.tasks.family import Draft, Variant, family, rust
from trainer.tasks.inputs import text
from trainer.tasks.task import Split

BRACKETS = (
    Variant("parentheses", "parentheses", "()", len),
    Variant("square_brackets", "square brackets", "[]", len),
    Variant("braces", "braces", "{}", len),
)
"""Their `apply` is not asked."""


def _depths(source: str, pair: str) -> list[int]:
    depth, seen = 0, [0]
    for char in source:
        depth += (char == pair[0]) - (char == pair[1])
        seen.append(depth)
    return seen


@family("state machines", "strings", "loops", difficulty=0.66)
def brackets(rng: Random) -> Draft:
    kind = rng.choice(BRACKETS)
    opening, closing = kind.rust[0], kind.rust[1]

    def draw(rng: Random) -> tuple[Value, ...]:
        if rng.random() < 0.5:
            source = ""
            for _ in range(rng.randint(1, 4)):
                place = rng.randint(0, len(source))
                source = source[:place] + kind.rust + source[place:]
        else:
            source = "".join(rng.choices(kind.rust + "ab", k=rng.randint(1, 8)))
        return (source,)

    balanced = Draft(
        entry=f"balanced_{kind.name}",
        params={"s": "&str"},
        returns="bool",
        docs=(
            f"Checks whether the {kind.words} of `$s` are balanced.",
            f"Returns true if every one of the {kind.words} in `$s` is closed, and none before it is opened.",
        ),
        bodies=(
            rust(f"""
                let mut depth = 0_i32;
                for c in $s.chars() {{
                    match c {{
                        '{opening}' => depth += 1,
                        '{closing}' => depth -= 1,
                        _ => {{}}
                    }}
                    if depth < 0 {{
                        return false;
                    }}
                }}
                depth == 0
            """),
        ),
        oracle=lambda s: min(_depths(s, kind.rust)) == 0 and _depths(s, kind.rust)[-1] == 0,
        inputs=draw,
        edges=(("",), (kind.rust,), (kind.rust[::-1],), (opening,)),
    )
    deepest = Draft(
        entry=f"depth_of_{kind.name}",
        params={"s": "&str"},
        returns="usize",
        docs=(
            f"Returns how deeply the balanced {kind.words} of `$s` are nested.",
            f"Computes the greatest depth of the {kind.words} in `$s`, which are balanced.",
        ),
        bodies=(
            rust(f"""
                let (mut depth, mut deepest) = (0_usize, 0);
                for c in $s.chars() {{
                    match c {{
                        '{opening}' => depth += 1,
                        '{closing}' => depth -= 1,
                        _ => {{}}
                    }}
                    deepest = deepest.max(depth);
                }}
                deepest
            """),
        ),
        oracle=lambda s: max(_depths(s, kind.rust)),
        inputs=lambda rng: (_nested(rng, kind.rust),),
        edges=(("",), (kind.rust,)),
    )
    return rng.choice((balanced, balanced, deepest))


def _nested(rng: Random, pair: str) -> str:
    source = ""
    for _ in range(rng.randint(1, 5)):
        place = rng.randint(0, len(source))
        source = source[:place] + pair + source[place:]
    return source


@family("state machines", "match", "tuple", difficulty=0.68)
def robot(rng: Random) -> Draft:
    t = rng.choice(("i32", "i64"))
    letters, names = rng.choice((("UDLR", "up, down, left and right"), ("NSWE", "north, south, west and east")))
    up, down, left, right = tuple(letters)
    steps = {up: (0, 1), down: (0, -1), left: (-1, 0), right: (1, 0)}

    def walk(commands: str) -> tuple[int, int]:
        return sum(steps[c][0] for c in commands if c in steps), sum(steps[c][1] for c in commands if c in steps)

    def draw(rng: Random) -> tuple[Value, ...]:
        return ("".join(rng.choices(letters + "x", weights=(3, 3, 3, 3, 1), k=rng.randint(1, 9))),)

    match = rust(f"""
        let (mut x, mut y): ({t}, {t}) = (0, 0);
        for c in $commands.chars() {{
            match c {{
                '{up}' => y += 1,
                '{down}' => y -= 1,
                '{left}' => x -= 1,
                '{right}' => x += 1,
                _ => {{}}
            }}
        }}
    """)
    place = Draft(
        entry="walk",
        params={"commands": "&str"},
        returns=f"({t}, {t})",
        docs=(
            f"Returns where a robot ends that obeys `$commands` from (0, 0); {', '.join(letters)} are {names}.",
            f"Follows `$commands` from (0, 0), {', '.join(letters)} being {names}, and returns the place reached.",
        ),
        bodies=(match + "\n(x, y)",),
        oracle=walk,
        inputs=draw,
        edges=(("",), (letters,)),
    )
    far = Draft(
        entry="distance_walked",
        params={"commands": "&str"},
        returns=t,
        docs=(f"Returns how many steps from its start `$commands` lead a robot; {', '.join(letters)} are {names}.",),
        bodies=(match + "\nx.abs() + y.abs()",),
        oracle=lambda commands: sum(map(abs, walk(commands))),
        inputs=draw,
        edges=(("",), (letters,)),
    )
    return rng.choice((place, far))


def _runs(s: str) -> list[tuple[str, int]]:
    return [(char, len(list(same))) for char, same in groupby(s)]


def _repeats(rng: Random) -> tuple[Value, ...]:
    if rng.random() < 0.3:
        return (text(rng),)
    return ("".join(rng.choice("abcA1 ") * rng.randint(1, 4) for _ in range(rng.randint(1, 5))),)


@family("state machines", "strings", "loops", difficulty=0.7, split=Split.VALIDATION)
def char_runs(rng: Random) -> Draft:
    longest = Draft(
        entry="longest_run",
        params={"s": "&str"},
        returns="usize",
        docs=(
            "Returns the length of the longest run of one character in `$s`.",
            "Computes how often the same character follows itself in `$s` at most, itself counted.",
        ),
        bodies=(
            rust("""
                let (mut longest, mut length, mut last) = (0, 0, None);
                for c in $s.chars() {
                    length = if last == Some(c) { length + 1 } else { 1 };
                    last = Some(c);
                    longest = longest.max(length);
                }
                longest
            """),
        ),
        oracle=lambda s: max((length for _, length in _runs(s)), default=0),
        inputs=_repeats,
        edges=(("",), ("aab",)),
    )
    squeeze = Draft(
        entry="squeeze",
        params={"s": "&str"},
        returns="String",
        docs=(
            "Replaces each run of one character in `$s` by a single one.",
            "Removes characters of `$s` that equal the one before them.",
        ),
        bodies=(
            rust("""
                let mut out = String::new();
                for c in $s.chars() {
                    if !out.ends_with(c) {
                        out.push(c);
                    }
                }
                out
            """),
        ),
        oracle=lambda s: "".join(char for char, _ in _runs(s)),
        inputs=_repeats,
        edges=(("",), ("aab",)),
    )
    encode = Draft(
        entry="run_lengths",
        params={"s": "&str"},
        returns="Vec<(char, usize)>",
        docs=("Returns the runs of equal characters of `$s` with their lengths.",),
        bodies=(
            rust("""
                let mut runs: Vec<(char, usize)> = Vec::new();
                for c in $s.chars() {
                    match runs.last_mut() {
                        Some((last, length)) if *last == c => *length += 1,
                        _ => runs.push((c, 1)),
                    }
                }
                runs
            """),
        ),
        oracle=_runs,
        inputs=_repeats,
        edges=(("",), ("aab",)),
    )
    return rng.choice((longest, squeeze, encode))


FAMILIES = (brackets, robot, char_runs)
