"""One whole number: its properties, and what follows from them."""

from __future__ import annotations

from random import Random

from reward_farm.problem import Err, Ok
from trainer.tasks.family import Draft, family, rust
from trainer.tasks.vocabulary import INTEGERS, SIGNED, mapping, predicate


@family("numbers", "map", difficulty=0.1)
def map_number(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    m = mapping(rng, t)
    return Draft(
        entry=f"number_{m.name}",
        params={"n": t},
        returns=t,
        docs=(f"Returns `$n` {m.participle}.", f"Gives `$n` {m.participle}."),
        bodies=(m.on("$n"),),
        oracle=m.apply,
    )


@family("numbers", "logic", difficulty=0.15)
def check_number(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    p, q = predicate(rng, t), predicate(rng, t)
    join, both = rng.choice((("and", True), ("or", False)))
    if p.name == q.name or rng.random() < 0.4:
        return Draft(
            entry=f"is_{p.name}",
            params={"n": t},
            returns="bool",
            docs=(f"Checks whether `$n` is {p.words}.", f"Returns true if `$n` is {p.words}."),
            bodies=(p.on("$n"),),
            oracle=p.holds,
            near=p.near,
        )
    op = "&&" if both else "||"
    return Draft(
        entry=f"is_{p.name}_{join}_{q.name}",
        params={"n": t},
        returns="bool",
        docs=(
            f"Checks whether `$n` is {p.words} {join} {q.words}.",
            f"Returns true if `$n` is {p.words} {join} {q.words}.",
        ),
        bodies=(f"{p.rust} {op} {q.rust}".replace("x", "$n"),),
        oracle=lambda n: p.holds(n) and q.holds(n) if both else p.holds(n) or q.holds(n),
        near=p.near + q.near,
    )


@family("numbers", "option", difficulty=0.3)
def number_if(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    p, m = predicate(rng, t), mapping(rng, t)
    condition, expression = p.on("$n"), m.on("$n")
    maybe = Draft(
        entry=f"{m.name}_if_{p.name}",
        params={"n": t},
        returns=f"Option<{t}>",
        docs=(
            f"Returns `$n` {m.participle} if it is {p.words}, or `None`.",
            f"Returns `$n` {m.participle}, but only if it is {p.words}.",
        ),
        bodies=(
            f"if {condition} {{\n    Some({expression})\n}} else {{\n    None\n}}",
            f"if {p.not_on('$n')} {{\n    return None;\n}}\nSome({expression})",
        ),
        oracle=lambda n: m.apply(n) if p.holds(n) else None,
        near=p.near,
    )
    unchanged = Draft(
        entry=f"{m.name}_when_{p.name}",
        params={"n": t},
        returns=t,
        docs=(
            f"Returns `$n` {m.participle} if it is {p.words}, or `$n` itself.",
            f"Returns `$n` unchanged, or {m.participle} when it is {p.words}.",
        ),
        bodies=(f"if {condition} {{\n    {expression}\n}} else {{\n    $n\n}}",),
        oracle=lambda n: m.apply(n) if p.holds(n) else n,
        near=p.near,
    )
    return rng.choice((maybe, unchanged))


@family("numbers", "result", difficulty=0.4)
def number_or_error(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    p = predicate(rng, t)
    message = rng.choice((f"not {p.words}", f"must be {p.words}"))
    condition = p.on("$n")
    return Draft(
        entry=f"require_{p.name}",
        params={"n": t},
        returns=f"Result<{t}, String>",
        docs=(
            f'Returns `$n` if it is {p.words}, or the error "{message}".',
            f'Returns `$n`, but fails with "{message}" unless it is {p.words}.',
        ),
        bodies=(
            f'if {condition} {{\n    Ok($n)\n}} else {{\n    Err("{message}".to_string())\n}}',
            f'if {p.not_on("$n")} {{\n    return Err("{message}".to_string());\n}}\nOk($n)',
        ),
        oracle=lambda n: Ok(n) if p.holds(n) else Err(message),
        near=p.near,
    )


@family("numbers", "match", difficulty=0.35)
def describe_number(rng: Random) -> Draft:
    t = rng.choice(SIGNED)
    low, high = rng.randint(2, 9), rng.randint(11, 19)
    small, large = rng.choice(
        (("small", "large"), ("low", "high"), ("cold", "hot"), ("short", "long"), ("few", "many"))
    )
    by_size = Draft(
        entry=f"{small}_or_{large}",
        params={"n": t},
        returns="String",
        docs=(
            f'Returns "{small}" if `$n` is less than {low}, "{large}" if it is greater than {high}, or else "medium".',
            f'Returns "{small}" below {low}, "{large}" above {high} and "medium" between, for `$n`.',
        ),
        bodies=(
            rust(f"""
                if $n < {low} {{
                    "{small}".to_string()
                }} else if $n > {high} {{
                    "{large}".to_string()
                }} else {{
                    "medium".to_string()
                }}
            """),
        ),
        oracle=lambda n: small if n < low else large if n > high else "medium",
        near=(low, high),
    )
    p = predicate(rng, t)
    yes, no = rng.choice((("yes", "no"), ("true", "false"), ("on", "off"), ("pass", "fail"), ("good", "bad")))
    by_property = Draft(
        entry=f"{yes}_if_{p.name}",
        params={"n": t},
        returns="String",
        docs=(
            f'Returns "{yes}" if `$n` is {p.words}, or else "{no}".',
            f'Returns "{yes}" or "{no}", depending on whether `$n` is {p.words}.',
        ),
        bodies=(f'if {p.on("$n")} {{\n    "{yes}".to_string()\n}} else {{\n    "{no}".to_string()\n}}',),
        oracle=lambda n: yes if p.holds(n) else no,
        near=p.near,
    )
    return rng.choice((by_size, by_property))


FAMILIES = (map_number, check_number, number_if, number_or_error, describe_number)
