"""Option and Result as inputs and outcomes: defaults, mapping, combining, parsing."""

from __future__ import annotations

from functools import partial
from random import Random

from reward_farm.problem import Err, Ok
from trainer.tasks.family import Draft, Variant, family, rust
from trainer.tasks.inputs import integer, word
from trainer.tasks.vocabulary import INTEGERS, SIGNED, mapping, predicate


@family("option", "map", difficulty=0.3)
def map_option(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    m, p = mapping(rng, t), predicate(rng, t)
    draft = partial(Draft, params={"opt": f"Option<{t}>"}, returns=f"Option<{t}>", edges=((None,),))
    return rng.choice(
        (
            draft(
                f"option_{m.name}",
                docs=(
                    f"Returns the value of `$opt`, {m.participle}, if any.",
                    f"Returns the value in `$opt` {m.participle}, or `None`.",
                ),
                bodies=(
                    f"$opt.map(|x| {m.rust})",
                    f"match $opt {{\n    Some(x) => Some({m.rust}),\n    None => None,\n}}",
                ),
                oracle=lambda opt: None if opt is None else m.apply(opt),
            ),
            draft(
                f"option_if_{p.name}",
                docs=(
                    f"Returns the value of `$opt` if it is {p.words}, or `None`.",
                    f"Keeps the value of `$opt` only if it is {p.words}.",
                ),
                bodies=(f"$opt.filter(|&x| {p.rust})",),
                oracle=lambda opt: opt if opt is not None and p.holds(opt) else None,
                near=p.near,
            ),
            draft(
                f"option_is_{p.name}",
                returns="bool",
                docs=(
                    f"Checks whether `$opt` has a value that is {p.words}.",
                    f"Returns true if the value of `$opt` is {p.words}.",
                ),
                bodies=(f"$opt.is_some_and(|x| {p.rust})",),
                oracle=lambda opt: opt is not None and p.holds(opt),
                near=p.near,
            ),
        )
    )


@family("option", "default", difficulty=0.3)
def option_or(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    k = rng.randint(1, 20)
    m = mapping(rng, t)
    draft = partial(Draft, params={"opt": f"Option<{t}>"}, returns=t, edges=((None,),))
    return rng.choice(
        (
            draft(
                f"value_or_{k}",
                docs=(
                    f"Returns the value of `$opt`, or {k} if it is `None`.",
                    f"Unwraps `$opt`, with {k} as the default.",
                ),
                bodies=(f"$opt.unwrap_or({k})", f"match $opt {{\n    Some(x) => x,\n    None => {k},\n}}"),
                oracle=lambda opt: k if opt is None else opt,
            ),
            draft(
                f"{m.name}_or_{k}",
                docs=(f"Returns the value of `$opt`, {m.participle}, or {k} if it is `None`.",),
                bodies=(
                    f"$opt.map(|x| {m.rust}).unwrap_or({k})",
                    f"match $opt {{\n    Some(x) => {m.rust},\n    None => {k},\n}}",
                ),
                oracle=lambda opt: k if opt is None else m.apply(opt),
            ),
            draft(
                "value_or",
                params={"opt": f"Option<{t}>", "default": t},
                docs=(
                    "Returns the value of `$opt`, or `$default` if it is `None`.",
                    "Unwraps `$opt`, with `$default` as the default.",
                ),
                bodies=("$opt.unwrap_or($default)",),
                oracle=lambda opt, default: default if opt is None else opt,
                edges=((None, 3),),
            ),
        )
    )


@family("option", "compare", difficulty=0.45)
def two_options(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    way = rng.choice(
        (
            Variant("sum", "sum", "{} + {}", lambda a, b: a + b),
            Variant("product", "product", "{} * {}", lambda a, b: a * b),
            Variant("larger", "larger one", "{}.max({})", max),
            Variant("smaller", "smaller one", "{}.min({})", min),
        )
    )
    return Draft(
        f"{way.name}_of_options",
        params={"a": f"Option<{t}>", "b": f"Option<{t}>"},
        returns=f"Option<{t}>",
        docs=(
            f"Returns the {way.words} of the values of `$a` and `$b`, or `None` if one is missing.",
            f"Returns the {way.words} of the values of `$a` and `$b`, if both have one.",
        ),
        bodies=(
            f"Some({way.rust.format('$a?', '$b?')})",
            rust(f"""
                match ($a, $b) {{
                    (Some(x), Some(y)) => Some({way.rust.format("x", "y")}),
                    _ => None,
                }}
            """),
        ),
        oracle=lambda a, b: None if a is None or b is None else way.apply(a, b),
        edges=((None, 2), (3, None)),
    )


def _numeral(rng: Random, t: str) -> str:
    good = str(integer(rng, t))
    return rng.choice((good, good, good, word(rng), "", "-", "1 2", f"{good}x"))


@family("strings", "parse", "option", "result", difficulty=0.4)
def parse_number(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    k = rng.randint(1, 20)
    m = mapping(rng, t)
    message = rng.choice(("not a number", "invalid number", "bad number"))

    def number(s: str) -> int | None:
        return int(s) if s.isdigit() or (t in SIGNED and s[:1] == "-" and s[1:].isdigit()) else None

    draft = partial(Draft, params={"s": "&str"}, inputs=lambda r: (_numeral(r, t),), edges=(("",), ("12",)))
    return rng.choice(
        (
            draft(
                "parse",
                returns=f"Option<{t}>",
                docs=(
                    "Parses `$s` as a number, if possible.",
                    "Returns the number in `$s`, or `None` if it is invalid.",
                ),
                bodies=("$s.parse().ok()", "match $s.parse() {\n    Ok(x) => Some(x),\n    Err(_) => None,\n}"),
                oracle=number,
            ),
            draft(
                f"parse_or_{k}",
                returns=t,
                docs=(
                    f"Parses `$s` as a number, or returns {k}.",
                    f"Returns the number in `$s`, or {k} if it is invalid.",
                ),
                bodies=(f"$s.parse().unwrap_or({k})",),
                oracle=lambda s: k if number(s) is None else number(s),
            ),
            draft(
                "try_parse",
                returns=f"Result<{t}, String>",
                docs=(
                    f'Parses `$s` as a number, or fails with "{message}".',
                    f'Returns the number in `$s`, or the error "{message}".',
                ),
                bodies=(
                    f'$s.parse().map_err(|_| "{message}".to_string())',
                    f'match $s.parse() {{\n    Ok(x) => Ok(x),\n    Err(_) => Err("{message}".to_string()),\n}}',
                ),
                oracle=lambda s: Err(message) if number(s) is None else Ok(number(s)),
            ),
            draft(
                f"parse_{m.name}",
                returns=f"Option<{t}>",
                docs=(f"Parses `$s` as a number and returns it {m.participle}, if possible.",),
                bodies=(f"$s.parse::<{t}>().ok().map(|x| {m.rust})",),
                oracle=lambda s: None if number(s) is None else m.apply(int(s)),
            ),
        )
    )


@family("strings", "parse", "fold", difficulty=0.55)
def parse_list(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    mark, place, source, what = rng.choice(
        (
            (" ", "words", "$s.split_whitespace()", "numbers among the words of `$s`"),
            (",", "commas", "$s.split(',')", "numbers in `$s` between commas"),
            (";", "semicolons", "$s.split(';')", "numbers in `$s` between semicolons"),
        )
    )
    typed = f"filter_map(|w| w.parse::<{t}>().ok())"
    end = rng.choice(
        (
            Variant("numbers", f"Returns the {what}.", "filter_map(|w| w.parse().ok()).collect()", list, f"Vec<{t}>"),
            Variant("sum", f"Returns the sum of the {what}.", f"{typed}.sum()", sum, t),
            Variant("count", f"Returns the number of {what}.", f"{typed}.count()", len, "usize"),
            Variant(
                "largest", f"Returns the largest of the {what}, if any.", f"{typed}.max()", _largest, f"Option<{t}>"
            ),
        )
    )

    def inputs(r: Random) -> tuple[str]:
        parts = (r.choice((str(r.randint(0, 30)), str(r.randint(0, 9)), "ok", "x1")) for _ in range(r.randint(1, 5)))
        return (mark.join(parts),)

    return Draft(
        f"{end.name}_in_{place}",
        params={"s": "&str"},
        returns=end.returns,
        docs=(end.words, end.words.replace("Returns", "Finds")),
        bodies=(f"{source}.{end.rust}",),
        oracle=lambda s: end.apply([int(part) for part in s.split(mark) if part.isdigit()]),
        inputs=inputs,
        edges=(("",),),
    )


def _largest(xs: list[int]) -> int | None:
    return max(xs, default=None)


FAMILIES = (map_option, option_or, two_options, parse_number, parse_list)
