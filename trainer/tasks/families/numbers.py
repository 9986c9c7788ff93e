"""Whole numbers: properties, digits, ranges, recursion, comparisons."""

from __future__ import annotations

import math
from random import Random

from trainer.tasks.family import Draft, family, rust
from trainer.tasks.vocabulary import INTEGERS, SIGNED, UNSIGNED, mapping, predicate


@family("numbers", "map", difficulty=0.1)
def map_number(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    m = mapping(rng, t)
    return Draft(
        entry=f"number_{m.name}",
        params={"n": t},
        returns=t,
        docs=(f"Returns `$n` {m.participle}.", f"Returns the number `$n`, {m.participle}."),
        bodies=(m.rust.replace("x", "$n"),),
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
            bodies=(p.rust.replace("x", "$n"),),
            oracle=p.holds,
            near=p.near,
        )
    op = "&&" if both else "||"
    return Draft(
        entry=f"is_{p.name}_{join}_{q.name}",
        params={"n": t},
        returns="bool",
        docs=(f"Checks whether `$n` is {p.words} {join} {q.words}.", f"Returns true if `$n` is {p.words} {join} {q.words}."),
        bodies=(f"{p.rust} {op} {q.rust}".replace("x", "$n"),),
        oracle=lambda n: p.holds(n) and q.holds(n) if both else p.holds(n) or q.holds(n),
        near=p.near + q.near,
    )  # fmt: skip


@family("numbers", "option", difficulty=0.3)
def number_if(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    p, m = predicate(rng, t), mapping(rng, t)
    condition, expression = p.rust.replace("x", "$n"), m.rust.replace("x", "$n")
    maybe = Draft(
        entry=f"{m.name}_if_{p.name}",
        params={"n": t},
        returns=f"Option<{t}>",
        docs=(f"Returns `$n` {m.participle} if it is {p.words}, or `None`.", f"Returns `$n` {m.participle}, but only if it is {p.words}."),
        bodies=(
            f"if {condition} {{\n    Some({expression})\n}} else {{\n    None\n}}",
            f"if {p.negated.replace('x', '$n')} {{\n    return None;\n}}\nSome({expression})",
        ),
        oracle=lambda n: m.apply(n) if p.holds(n) else None,
        near=p.near,
    )  # fmt: skip
    unchanged = Draft(
        entry=f"{m.name}_when_{p.name}",
        params={"n": t},
        returns=t,
        docs=(f"Returns `$n` {m.participle} if it is {p.words}, or `$n` itself.", f"Returns `$n` unchanged, or {m.participle} when it is {p.words}."),
        bodies=(f"if {condition} {{\n    {expression}\n}} else {{\n    $n\n}}",),
        oracle=lambda n: m.apply(n) if p.holds(n) else n,
        near=p.near,
    )  # fmt: skip
    return rng.choice((maybe, unchanged))


@family("numbers", "result", difficulty=0.4)
def number_or_error(rng: Random) -> Draft:
    from reward_farm.problem import Err, Ok

    t = rng.choice(INTEGERS)
    p = predicate(rng, t)
    message = rng.choice((f"not {p.words}", f"must be {p.words}"))
    condition = p.rust.replace("x", "$n")
    return Draft(
        entry=f"require_{p.name}",
        params={"n": t},
        returns=f"Result<{t}, String>",
        docs=(
            f'Returns `$n` if it is {p.words}, or the error "{message}".',
            f'Checks that `$n` is {p.words}; fails with "{message}".',
        ),
        bodies=(
            f'if {condition} {{\n    Ok($n)\n}} else {{\n    Err("{message}".to_string())\n}}',
            f'if {p.negated.replace("x", "$n")} {{\n    return Err("{message}".to_string());\n}}\nOk($n)',
        ),
        oracle=lambda n: Ok(n) if p.holds(n) else Err(message),
        near=p.near,
    )


@family("numbers", "ranges", difficulty=0.4)
def over_range(rng: Random) -> Draft:
    t = rng.choice(UNSIGNED)
    p, m = predicate(rng, t), mapping(rng, t)
    range_ = "numbers from 1 to `$n`"
    drafts = (
        Draft(
            entry=f"sum_of_{p.name}_up_to",
            params={"n": t},
            returns=t,
            docs=(f"Returns the sum of the {p.of(range_)}.", f"Sums the {p.of(range_)}."),
            bodies=(f"(1..=$n).filter(|&x| {p.rust}).sum()",),
            oracle=lambda n: sum(filter(p.holds, range(1, n + 1))),
            near=p.near,
        ),
        Draft(
            entry=f"count_of_{p.name}_up_to",
            params={"n": t},
            returns="usize",
            docs=(f"Counts the {p.of(range_)}.", f"Returns the number of {p.of(range_)}."),
            bodies=(f"(1..=$n).filter(|&x| {p.rust}).count()",),
            oracle=lambda n: len(list(filter(p.holds, range(1, n + 1)))),
            near=p.near,
        ),
        Draft(
            entry=f"sum_of_{m.name}_up_to",
            params={"n": t},
            returns=t,
            docs=(f"Returns the sum of the {m.of(range_)}.", f"Sums the {range_}, each {m.participle}."),
            bodies=(f"(1..=$n).map(|x| {m.rust}).sum()",),
            oracle=lambda n: sum(map(m.apply, range(1, n + 1))),
        ),
        Draft(
            entry=f"{m.name}_up_to",
            params={"n": t},
            returns=f"Vec<{t}>",
            docs=(f"Returns the {m.of(range_)}.", f"Collects the {range_}, each {m.participle}."),
            bodies=(f"(1..=$n).map(|x| {m.rust}).collect()",),
            oracle=lambda n: list(map(m.apply, range(1, n + 1))),
        ),
    )
    return rng.choice(drafts)


@family("numbers", "ranges", "filter", difficulty=0.5, unseen=True)
def keep_range(rng: Random) -> Draft:
    t = rng.choice(UNSIGNED)
    p = predicate(rng, t)
    return Draft(
        entry=f"{p.name}_up_to",
        params={"n": t},
        returns=f"Vec<{t}>",
        docs=(f"Returns the {p.of('numbers from 1 to `$n`')}.", f"Collects the {p.of('numbers from 1 to `$n`')}."),
        bodies=(f"(1..=$n).filter(|&x| {p.rust}).collect()",),
        oracle=lambda n: list(filter(p.holds, range(1, n + 1))),
        near=p.near,
    )


@family("numbers", "digits", "loop", difficulty=0.5)
def digits(rng: Random) -> Draft:
    t = rng.choice(UNSIGNED)

    def loop(start: str, update: str, result: str = "total") -> str:
        return rust(f"""
            let mut rest = $n;
            let mut {start};
            while rest > 0 {{
                {update}
                rest /= 10;
            }}
            {result}
        """)

    name, docs, bodies, oracle = rng.choice(
        (
            ("digit_sum", ("Returns the sum of the digits of `$n`.", "Adds up the digits of `$n`."), (
                loop("total = 0", "total += rest % 10;"),
                "if $n < 10 {\n    $n\n} else {\n    $n % 10 + $self($n / 10)\n}",
            ), lambda n: sum(map(int, str(n)))),
            ("digit_product", ("Returns the product of the digits of `$n`.", "Multiplies the digits of `$n`."), (
                "if $n < 10 {\n    $n\n} else {\n    ($n % 10) * $self($n / 10)\n}",
            ), lambda n: math.prod(map(int, str(n)))),
            ("digit_count", ("Counts the digits of `$n`.", "Returns the number of digits of `$n`."), (
                "if $n < 10 {\n    1\n} else {\n    1 + $self($n / 10)\n}",
            ), lambda n: len(str(n))),
            ("largest_digit", ("Returns the largest digit of `$n`.", "Finds the largest digit of `$n`."), (
                loop("total = 0", "total = total.max(rest % 10);"),
                "if $n < 10 {\n    $n\n} else {\n    ($n % 10).max($self($n / 10))\n}",
            ), lambda n: max(map(int, str(n)))),
            ("reverse_digits", ("Reverses the digits of `$n`.", "Returns `$n` with its digits in reverse order."), (
                loop("total = 0", "total = total * 10 + rest % 10;"),
            ), lambda n: int(str(n)[::-1])),
            ("last_digit", ("Returns the last digit of `$n`.", "Finds the last digit of `$n`."), ("$n % 10",), lambda n: n % 10),
            ("without_last_digit", ("Removes the last digit of `$n`.", "Returns `$n` without its last digit."), ("$n / 10",), lambda n: n // 10),
        )
    )  # fmt: skip
    return Draft(
        entry=name,
        params={"n": t},
        returns=t,
        docs=docs,
        bodies=bodies,
        oracle=oracle,
        inputs=lambda r: (r.randint(1, 10 ** r.randint(1, 6)),),
        edges=((0,), (10,)),
    )


@family("numbers", "recursion", difficulty=0.5)
def classics(rng: Random) -> Draft:
    t = rng.choice(UNSIGNED)
    name, returns, docs, bodies, oracle, top = rng.choice(
        (
            ("factorial", t, ("Returns the factorial of `$n`.", "Computes the factorial of `$n`."), (
                "(1..=$n).product()", "if $n == 0 {\n    1\n} else {\n    $n * $self($n - 1)\n}",
            ), math.factorial, 10),
            ("fibonacci", t, ("Returns the `$n`-th Fibonacci number.", "Computes the `$n`-th Fibonacci number."), (
                "if $n < 2 {\n    $n\n} else {\n    $self($n - 1) + $self($n - 2)\n}",
            ), _fibonacci, 15),
            ("sum_up_to", t, ("Returns the sum of the numbers from 1 to `$n`.", "Sums the numbers from 1 to `$n`."), (
                "(1..=$n).sum()", "$n * ($n + 1) / 2",
            ), lambda n: sum(range(n + 1)), 30),
            ("sum_below", t, ("Returns the sum of the numbers below `$n`.", "Sums the numbers below `$n`."), (
                "(0..$n).sum()",
            ), lambda n: sum(range(n)), 30),
            ("is_prime", "bool", ("Checks whether `$n` is prime.", "Returns true if `$n` is a prime number."), (
                "$n > 1 && (2..$n).all(|x| $n % x != 0)",
            ), lambda n: n > 1 and all(n % x for x in range(2, n)), 30),
            ("divisors", f"Vec<{t}>", ("Returns the divisors of `$n`.", "Collects the divisors of `$n`."), (
                "(1..=$n).filter(|x| $n % x == 0).collect()",
            ), lambda n: [x for x in range(1, n + 1) if n % x == 0], 40),
            ("count_divisors", "usize", ("Counts the divisors of `$n`.", "Returns the number of divisors of `$n`."), (
                "(1..=$n).filter(|x| $n % x == 0).count()",
            ), lambda n: len([x for x in range(1, n + 1) if n % x == 0]), 40),
            ("is_square", "bool", ("Checks whether `$n` is a square number.", "Returns true if `$n` is a perfect square."), (
                "(0..=$n).any(|x| x * x == $n)",
            ), lambda n: math.isqrt(n) ** 2 == n, 40),
            ("count_up", f"Vec<{t}>", ("Returns the numbers from 1 to `$n`.", "Collects the numbers from 1 to `$n`."), (
                "(1..=$n).collect()",
            ), lambda n: list(range(1, n + 1)), 9),
            ("count_down", f"Vec<{t}>", ("Returns the numbers from `$n` down to 1.", "Collects the numbers from `$n` down to 1."), (
                "(1..=$n).rev().collect()",
            ), lambda n: list(range(n, 0, -1)), 9),
        )
    )  # fmt: skip
    return Draft(
        entry=name,
        params={"n": t},
        returns=returns,
        docs=docs,
        bodies=bodies,
        oracle=oracle,
        inputs=lambda r: (r.randint(0, top) if r.random() < 0.8 else r.randint(0, 6) ** 2 % (top + 1),),
        edges=((0,), (1,)),
    )


def _fibonacci(n: int) -> int:
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


@family("numbers", "powers", difficulty=0.35)
def multiply_by_recursion(rng: Random) -> Draft:
    t = rng.choice(UNSIGNED)
    k = rng.randint(2, 9)
    power = Draft(
        entry=f"power_of_{k}",
        params={"n": "u32"},
        returns=t,
        docs=(f"Returns {k} to the power of `$n`.", f"Raises {k} to the power of `$n`."),
        bodies=(f"if $n == 0 {{\n    1\n}} else {{\n    {k} * $self($n - 1)\n}}", f"(0..$n).map(|_| {k}).product()"),
        oracle=lambda n: k**n,
        inputs=lambda r: (r.randint(0, 8),),
        edges=((0,), (1,)),
    )
    times = Draft(
        entry=f"count_factors_of_{k}",
        params={"n": t},
        returns="u32",
        docs=(f"Counts how often {k} divides `$n`.", f"Returns how many times `$n` can be divided by {k}."),
        bodies=(f"if $n == 0 || $n % {k} != 0 {{\n    0\n}} else {{\n    1 + $self($n / {k})\n}}",),
        oracle=lambda n: 0 if n == 0 else next(i for i in range(99) if n % k ** (i + 1)),
        inputs=lambda r: (r.randint(0, 9) * k ** r.randint(0, 3),),
    )
    return rng.choice((power, times))


@family("numbers", "compare", difficulty=0.25)
def compare_two(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    two = {"a": t, "b": t}
    pair = f"({t}, {t})"
    name, returns, docs, bodies, oracle = rng.choice(
        (
            ("larger", t, ("Returns the larger of `$a` and `$b`.", "Finds the larger of `$a` and `$b`."), ("$a.max($b)", "if $a > $b {\n    $a\n} else {\n    $b\n}"), max),
            ("smaller", t, ("Returns the smaller of `$a` and `$b`.", "Finds the smaller of `$a` and `$b`."), ("$a.min($b)", "if $a < $b {\n    $a\n} else {\n    $b\n}"), min),
            ("distance", t, ("Returns the distance between `$a` and `$b`.", "Returns the absolute difference of `$a` and `$b`."), ("if $a > $b {\n    $a - $b\n} else {\n    $b - $a\n}", "$a.max($b) - $a.min($b)"), lambda a, b: abs(a - b)),
            ("add", t, ("Returns the sum of `$a` and `$b`.", "Adds `$a` and `$b`."), ("$a + $b",), lambda a, b: a + b),
            ("multiply", t, ("Returns the product of `$a` and `$b`.", "Multiplies `$a` by `$b`."), ("$a * $b",), lambda a, b: a * b),
            ("sum_of_squares", t, ("Returns the sum of the squares of `$a` and `$b`.", "Adds the squares of `$a` and `$b`."), ("$a * $a + $b * $b",), lambda a, b: a * a + b * b),
            ("swap", pair, ("Swaps `$a` and `$b`.", "Returns `$b` and `$a` as a pair."), ("($b, $a)",), lambda a, b: (b, a)),
            ("in_order", pair, ("Returns `$a` and `$b` as a pair, the smaller one first.", "Puts `$a` and `$b` in ascending order."), ("($a.min($b), $a.max($b))", "if $a < $b {\n    ($a, $b)\n} else {\n    ($b, $a)\n}"), lambda a, b: tuple(sorted((a, b)))),
            ("sum_and_product", pair, ("Returns the sum and the product of `$a` and `$b`.", "Computes the sum and the product of `$a` and `$b`."), ("($a + $b, $a * $b)",), lambda a, b: (a + b, a * b)),
            ("is_larger", "bool", ("Checks whether `$a` is larger than `$b`.", "Returns true if `$a` is larger than `$b`."), ("$a > $b",), lambda a, b: a > b),
            ("both_even", "bool", ("Checks whether `$a` and `$b` are both even.", "Returns true if both `$a` and `$b` are even."), ("$a % 2 == 0 && $b % 2 == 0",), lambda a, b: a % 2 == b % 2 == 0),
            ("either_even", "bool", ("Checks whether `$a` or `$b` is even.", "Returns true if either `$a` or `$b` is even."), ("$a % 2 == 0 || $b % 2 == 0",), lambda a, b: a * b % 2 == 0),
            ("same_parity", "bool", ("Checks whether `$a` and `$b` are both even or both odd.", "Returns true if `$a` and `$b` have the same parity."), ("$a % 2 == $b % 2",) if t in UNSIGNED else ("($a + $b) % 2 == 0",), lambda a, b: (a + b) % 2 == 0),
        )
    )  # fmt: skip
    return Draft(entry=name, params=two, returns=returns, docs=docs, bodies=bodies, oracle=oracle)


@family("numbers", "gcd", "result", "option", difficulty=0.45)
def divide_two(rng: Random) -> Draft:
    from reward_farm.problem import Err, Ok

    t = rng.choice(UNSIGNED)
    message = rng.choice(("division by zero", "cannot divide by zero"))
    name, returns, docs, bodies, oracle = rng.choice(
        (
            ("gcd", t, ("Returns the greatest common divisor of `$a` and `$b`.", "Computes the greatest common divisor of `$a` and `$b`."), ("if $b == 0 {\n    $a\n} else {\n    $self($b, $a % $b)\n}",), math.gcd),
            ("divide", f"Option<{t}>", ("Divides `$a` by `$b`, or returns `None` if `$b` is zero.", "Returns `$a` divided by `$b`, if `$b` is not zero."), ("if $b == 0 {\n    None\n} else {\n    Some($a / $b)\n}", "$a.checked_div($b)"), lambda a, b: a // b if b else None),
            ("remainder", f"Option<{t}>", ("Returns the remainder of `$a` divided by `$b`, if `$b` is not zero.", "Returns the remainder of `$a` divided by `$b`, or `None` if `$b` is zero."), ("if $b == 0 {\n    None\n} else {\n    Some($a % $b)\n}", "$a.checked_rem($b)"), lambda a, b: a % b if b else None),
            ("subtract", f"Option<{t}>", ("Subtracts `$b` from `$a`, or returns `None` if `$b` is larger.", "Returns `$a` minus `$b`, if `$b` is not larger."), ("if $b > $a {\n    None\n} else {\n    Some($a - $b)\n}", "$a.checked_sub($b)"), lambda a, b: a - b if a >= b else None),
            ("try_divide", f"Result<{t}, String>", (f'Divides `$a` by `$b`, or returns the error "{message}".', f'Returns `$a` divided by `$b`; fails with "{message}".'), (f'if $b == 0 {{\n    Err("{message}".to_string())\n}} else {{\n    Ok($a / $b)\n}}', f'if $b == 0 {{\n    return Err("{message}".to_string());\n}}\nOk($a / $b)'), lambda a, b: Ok(a // b) if b else Err(message)),
            ("try_remainder", f"Result<{t}, String>", (f'Returns the remainder of `$a` divided by `$b`, or the error "{message}".', f'Returns the remainder of `$a` divided by `$b`; fails with "{message}".'), (f'if $b == 0 {{\n    Err("{message}".to_string())\n}} else {{\n    Ok($a % $b)\n}}',), lambda a, b: Ok(a % b) if b else Err(message)),
            ("is_divisible", "bool", ("Checks whether `$a` is divisible by `$b`.", "Returns true if `$b` is not zero and divides `$a`."), ("$b != 0 && $a % $b == 0",), lambda a, b: b != 0 and a % b == 0),
        )
    )  # fmt: skip
    return Draft(
        entry=name,
        params={"a": t, "b": t},
        returns=returns,
        docs=docs,
        bodies=bodies,
        oracle=oracle,
        inputs=lambda r: (r.randint(0, 40), r.choice((0, 1, 2, 3, 4, 6, 10, 50))),
        edges=((7, 0), (12, 8)),
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
        docs=(f'Returns "{yes}" if `$n` is {p.words}, or else "{no}".', f'Returns "{yes}" or "{no}", depending on whether `$n` is {p.words}.'),
        bodies=(
            f'if {p.rust.replace("x", "$n")} {{\n    "{yes}".to_string()\n}} else {{\n    "{no}".to_string()\n}}',
        ),
        oracle=lambda n: yes if p.holds(n) else no,
        near=p.near,
    )  # fmt: skip
    return rng.choice((by_size, by_property))


FAMILIES = (
    map_number, check_number, number_if, number_or_error, over_range, keep_range, digits, classics, multiply_by_recursion,
    compare_two, divide_two, describe_number,
)  # fmt: skip
