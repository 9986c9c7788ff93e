"""Two whole numbers: comparing, combining and dividing them; Option and Result where that can fail."""

from __future__ import annotations

import math
from functools import partial
from random import Random

from reward_farm.problem import Err, Ok
from trainer.tasks.family import Draft, Variant, family
from trainer.tasks.vocabulary import INTEGERS, UNSIGNED


@family("numbers", "compare", difficulty=0.2)
def combine_two(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    draft = partial(Draft, params={"a": t, "b": t}, returns=t)
    return rng.choice(
        (
            draft(
                "larger",
                docs=("Returns the larger of `$a` and `$b`.", "Finds the larger of `$a` and `$b`."),
                bodies=("$a.max($b)", "if $a > $b {\n    $a\n} else {\n    $b\n}"),
                oracle=max,
            ),
            draft(
                "smaller",
                docs=("Returns the smaller of `$a` and `$b`.", "Finds the smaller of `$a` and `$b`."),
                bodies=("$a.min($b)", "if $a < $b {\n    $a\n} else {\n    $b\n}"),
                oracle=min,
            ),
            draft(
                "distance",
                docs=(
                    "Returns the distance between `$a` and `$b`.",
                    "Returns the difference of `$a` and `$b`, without sign.",
                ),
                bodies=("$a.max($b) - $a.min($b)", "if $a > $b {\n    $a - $b\n} else {\n    $b - $a\n}"),
                oracle=lambda a, b: abs(a - b),
            ),
            draft(
                "add",
                docs=("Returns the sum of `$a` and `$b`.", "Adds `$a` and `$b`."),
                bodies=("$a + $b",),
                oracle=lambda a, b: a + b,
            ),
            draft(
                "multiply",
                docs=("Returns the product of `$a` and `$b`.", "Multiplies `$a` by `$b`."),
                bodies=("$a * $b",),
                oracle=lambda a, b: a * b,
            ),
            draft(
                "squares_of_both",
                docs=("Returns the sum of the squares of `$a` and `$b`.", "Adds the squares of `$a` and `$b`."),
                bodies=("$a * $a + $b * $b",),
                oracle=lambda a, b: a**2 + b**2,
            ),
        )
    )


@family("numbers", "tuple", difficulty=0.25)
def make_pair(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    draft = partial(Draft, params={"a": t, "b": t}, returns=f"({t}, {t})")
    return rng.choice(
        (
            draft(
                "swap",
                docs=("Swaps `$a` and `$b`.", "Returns `$b` and `$a` as a pair."),
                bodies=("($b, $a)",),
                oracle=lambda a, b: (b, a),
            ),
            draft(
                "ascending",
                docs=("Returns `$a` and `$b` in ascending order.", "Puts `$a` and `$b` in ascending order."),
                bodies=("($a.min($b), $a.max($b))", "if $a < $b {\n    ($a, $b)\n} else {\n    ($b, $a)\n}"),
                oracle=lambda a, b: tuple(sorted((a, b))),
            ),
            draft(
                "descending",
                docs=("Returns `$a` and `$b` in descending order.", "Puts `$a` and `$b` in descending order."),
                bodies=("($a.max($b), $a.min($b))", "if $a > $b {\n    ($a, $b)\n} else {\n    ($b, $a)\n}"),
                oracle=lambda a, b: tuple(sorted((b, a), reverse=True)),
            ),
            draft(
                "sum_and_product",
                docs=(
                    "Returns the sum and the product of `$a` and `$b`.",
                    "Computes the sum and the product of `$a` and `$b`.",
                ),
                bodies=("($a + $b, $a * $b)",),
                oracle=lambda a, b: (a + b, a * b),
            ),
            draft(
                "squares_of_each",
                docs=("Returns the square of `$a` and the square of `$b`.", "Squares `$a` and `$b`."),
                bodies=("($a * $a, $b * $b)",),
                oracle=lambda a, b: (a * a, b * b),
            ),
        )
    )


@family("numbers", "logic", difficulty=0.25)
def check_two(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    k = rng.randint(2, 9)
    p = rng.choice(
        (
            Variant("even", "even", "{} % 2 == 0", lambda x: x % 2 == 0),
            Variant("odd", "odd", "{} % 2 != 0", lambda x: x % 2 != 0),
            Variant(f"above_{k}", f"greater than {k}", f"{{}} > {k}", lambda x: x > k),
            Variant(f"below_{k}", f"less than {k}", f"{{}} < {k}", lambda x: x < k),
        )
    )
    name, words, holds = p.name, p.words, p.apply
    left, right, total = (
        p.rust.format("$a"),
        p.rust.format("$b"),
        p.rust.format("($a + $b)" if "%" in p.rust else "$a + $b"),
    )
    draft = partial(Draft, params={"a": t, "b": t}, returns="bool", near=(k,))
    return rng.choice(
        (
            draft(
                f"both_{name}",
                docs=(
                    f"Checks whether `$a` and `$b` are both {words}.",
                    f"Returns true if both `$a` and `$b` are {words}.",
                ),
                bodies=(f"{left} && {right}",),
                oracle=lambda a, b: holds(a) and holds(b),
            ),
            draft(
                f"either_{name}",
                docs=(f"Checks whether `$a` or `$b` is {words}.", f"Returns true if either `$a` or `$b` is {words}."),
                bodies=(f"{left} || {right}",),
                oracle=lambda a, b: holds(a) or holds(b),
            ),
            draft(
                f"sum_{name}",
                docs=(
                    f"Checks whether the sum of `$a` and `$b` is {words}.",
                    f"Returns true if `$a` plus `$b` is {words}.",
                ),
                bodies=(total,),
                oracle=lambda a, b: holds(a + b),
            ),
        )
    )


@family("numbers", "option", "result", difficulty=0.45)
def divide_two(rng: Random) -> Draft:
    t = rng.choice(UNSIGNED)
    message = rng.choice(("division by zero", "cannot divide by zero", "zero divisor"))
    draft = partial(
        Draft,
        params={"a": t, "b": t},
        returns=f"Option<{t}>",
        inputs=lambda r: (r.randint(0, 40), r.choice((0, 1, 2, 3, 4, 6, 10, 50))),
        edges=((7, 0), (12, 8)),
    )
    fail = f'return Err("{message}".to_string());'
    return rng.choice(
        (
            draft(
                "divide",
                docs=(
                    "Divides `$a` by `$b`, or returns `None` if `$b` is zero.",
                    "Returns `$a` divided by `$b`, if `$b` is not zero.",
                ),
                bodies=("if $b == 0 {\n    return None;\n}\nSome($a / $b)", "$a.checked_div($b)"),
                oracle=lambda a, b: a // b if b else None,
            ),
            draft(
                "remainder",
                docs=("Returns the remainder of `$a` divided by `$b`, or `None` if `$b` is zero.",),
                bodies=("if $b == 0 {\n    return None;\n}\nSome($a % $b)", "$a.checked_rem($b)"),
                oracle=lambda a, b: a % b if b else None,
            ),
            draft(
                "subtract",
                docs=(
                    "Subtracts `$b` from `$a`, or returns `None` if `$b` is larger.",
                    "Returns `$a` minus `$b`, if `$b` is not larger.",
                ),
                bodies=("if $b > $a {\n    return None;\n}\nSome($a - $b)", "$a.checked_sub($b)"),
                oracle=lambda a, b: a - b if a >= b else None,
            ),
            draft(
                "try_divide",
                returns=f"Result<{t}, String>",
                docs=(
                    f'Divides `$a` by `$b`, or fails with "{message}".',
                    f'Returns `$a` divided by `$b`, or the error "{message}".',
                ),
                bodies=(f"if $b == 0 {{\n    {fail}\n}}\nOk($a / $b)",),
                oracle=lambda a, b: Ok(a // b) if b else Err(message),
            ),
            draft(
                "try_remainder",
                returns=f"Result<{t}, String>",
                docs=(f'Returns the remainder of `$a` divided by `$b`, or the error "{message}".',),
                bodies=(f"if $b == 0 {{\n    {fail}\n}}\nOk($a % $b)",),
                oracle=lambda a, b: Ok(a % b) if b else Err(message),
            ),
            draft(
                "is_divisible",
                returns="bool",
                docs=(
                    "Checks whether `$a` is divisible by `$b`.",
                    "Returns true if `$b` is not zero and divides `$a`.",
                ),
                bodies=("$b != 0 && $a % $b == 0",),
                oracle=lambda a, b: b != 0 and a % b == 0,
            ),
            draft(
                "gcd",
                returns=t,
                docs=(
                    "Returns the greatest common divisor of `$a` and `$b`.",
                    "Computes the greatest common divisor of `$a` and `$b`.",
                ),
                bodies=("if $b == 0 {\n    $a\n} else {\n    $self($b, $a % $b)\n}",),
                oracle=math.gcd,
            ),
        )
    )


FAMILIES = (combine_two, make_pair, check_two, divide_two)
