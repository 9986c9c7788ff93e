"""Named functions of one whole number: digits, recursion, divisors, powers."""

from __future__ import annotations

import math
from functools import partial
from random import Random

from trainer.tasks.family import Draft, family, rust
from trainer.tasks.vocabulary import UNSIGNED


def _digit_loop(start: int, update: str) -> str:
    return rust(f"""
        let mut rest = $n;
        let mut total = {start};
        while rest > 0 {{
            {update}
            rest /= 10;
        }}
        total
    """)


@family("numbers", "digits", "recursion", difficulty=0.5)
def digits(rng: Random) -> Draft:
    t = rng.choice(UNSIGNED)
    draft = partial(
        Draft,
        params={"n": t},
        returns=t,
        inputs=lambda r: (r.randint(1, 10 ** r.randint(1, 6)),),
        edges=((0,), (10,)),
    )
    return rng.choice(
        (
            draft(
                "digit_sum",
                docs=("Returns the sum of the digits of `$n`.", "Adds up the digits of `$n`."),
                bodies=(
                    _digit_loop(0, "total += rest % 10;"),
                    "if $n < 10 {\n    $n\n} else {\n    $n % 10 + $self($n / 10)\n}",
                ),
                oracle=lambda n: sum(map(int, str(n))),
            ),
            draft(
                "digit_product",
                docs=("Returns the product of the digits of `$n`.", "Multiplies the digits of `$n`."),
                bodies=("if $n < 10 {\n    $n\n} else {\n    ($n % 10) * $self($n / 10)\n}",),
                oracle=lambda n: math.prod(map(int, str(n))),
            ),
            draft(
                "digit_count",
                docs=("Returns the number of digits of `$n`.", "Counts the digits of `$n`."),
                bodies=("if $n < 10 {\n    1\n} else {\n    1 + $self($n / 10)\n}",),
                oracle=lambda n: len(str(n)),
            ),
            draft(
                "largest_digit",
                docs=("Returns the largest digit of `$n`.", "Finds the largest digit of `$n`."),
                bodies=(
                    _digit_loop(0, "total = total.max(rest % 10);"),
                    "if $n < 10 {\n    $n\n} else {\n    ($n % 10).max($self($n / 10))\n}",
                ),
                oracle=lambda n: max(map(int, str(n))),
            ),
            draft(
                "reverse_digits",
                docs=("Reverses the digits of `$n`.", "Returns `$n` with its digits in reverse order."),
                bodies=(_digit_loop(0, "total = total * 10 + rest % 10;"),),
                oracle=lambda n: int(str(n)[::-1]),
            ),
            draft(
                "last_digit",
                docs=("Returns the last digit of `$n`.", "Finds the last digit of `$n`."),
                bodies=("$n % 10",),
                oracle=lambda n: int(str(n)[-1]),
            ),
            draft(
                "without_last_digit",
                docs=("Removes the last digit of `$n`.", "Returns `$n` without its last digit."),
                bodies=("$n / 10",),
                oracle=lambda n: int(str(n)[:-1] or 0),
            ),
        )
    )


@family("numbers", "recursion", difficulty=0.5)
def classics(rng: Random) -> Draft:
    t = rng.choice(UNSIGNED)
    draft = partial(
        Draft,
        params={"n": t},
        returns=t,
        inputs=lambda r: (r.choice((r.randint(0, 11), r.randint(0, 11), r.randint(0, 3) ** 2)),),
        edges=((0,), (1,)),
    )
    return rng.choice(
        (
            draft(
                "factorial",
                docs=("Returns the factorial of `$n`.", "Computes the factorial of `$n`."),
                bodies=("(1..=$n).product()", "if $n == 0 {\n    1\n} else {\n    $n * $self($n - 1)\n}"),
                oracle=math.factorial,
            ),
            draft(
                "fibonacci",
                docs=("Returns the `$n`-th Fibonacci number.", "Computes the `$n`-th Fibonacci number."),
                bodies=("if $n < 2 {\n    $n\n} else {\n    $self($n - 1) + $self($n - 2)\n}",),
                oracle=lambda n: round(((1 + 5**0.5) / 2) ** n / 5**0.5),
            ),
            draft(
                "sum_up_to",
                docs=("Returns the sum of the numbers from 1 to `$n`.", "Sums the numbers from 1 to `$n`."),
                bodies=("(1..=$n).sum()", "$n * ($n + 1) / 2"),
                oracle=lambda n: sum(range(n + 1)),
            ),
            draft(
                "sum_below",
                docs=("Returns the sum of the numbers below `$n`.", "Sums the numbers below `$n`."),
                bodies=("(0..$n).sum()",),
                oracle=lambda n: n * (n - 1) // 2,
            ),
            draft(
                "count_up",
                returns=f"Vec<{t}>",
                docs=("Returns the numbers from 1 to `$n`.", "Collects the numbers from 1 to `$n`."),
                bodies=("(1..=$n).collect()",),
                oracle=lambda n: list(range(1, n + 1)),
            ),
            draft(
                "count_down",
                returns=f"Vec<{t}>",
                docs=("Returns the numbers from `$n` down to 1.", "Collects the numbers from `$n` down to 1."),
                bodies=("(1..=$n).rev().collect()",),
                oracle=lambda n: list(range(n, 0, -1)),
            ),
        )
    )


@family("numbers", "divisors", "ranges", difficulty=0.5)
def divisors(rng: Random) -> Draft:
    t = rng.choice(UNSIGNED)
    draft = partial(
        Draft, params={"n": t}, inputs=lambda r: (r.choice((r.randint(0, 40), 7, 9, 16, 23)),), edges=((1,),)
    )
    return rng.choice(
        (
            draft(
                "is_prime",
                returns="bool",
                docs=("Checks whether `$n` is prime.", "Returns true if `$n` is a prime number."),
                bodies=("$n > 1 && (2..$n).all(|x| $n % x != 0)",),
                oracle=lambda n: sum(n % x == 0 for x in range(1, n + 1)) == 2,
            ),
            draft(
                "is_square",
                returns="bool",
                docs=("Checks whether `$n` is a square number.", "Returns true if `$n` is a perfect square."),
                bodies=("(0..=$n).any(|x| x * x == $n)",),
                oracle=lambda n: math.isqrt(n) ** 2 == n,
            ),
            draft(
                "divisors",
                returns=f"Vec<{t}>",
                docs=("Returns the divisors of `$n`.", "Collects the divisors of `$n`."),
                bodies=("(1..=$n).filter(|&x| $n % x == 0).collect()",),
                oracle=lambda n: [x for x in range(1, n + 1) if n % x == 0],
            ),
            draft(
                "count_divisors",
                returns="usize",
                docs=("Returns the number of divisors of `$n`.", "Counts the divisors of `$n`."),
                bodies=("(1..=$n).filter(|&x| $n % x == 0).count()",),
                oracle=lambda n: len([x for x in range(1, n + 1) if n % x == 0]),
            ),
            draft(
                "sum_divisors",
                returns=t,
                docs=("Returns the sum of the divisors of `$n`.", "Sums the divisors of `$n`."),
                bodies=("(1..=$n).filter(|&x| $n % x == 0).sum()",),
                oracle=lambda n: sum(x for x in range(1, n + 1) if n % x == 0),
            ),
        )
    )


@family("numbers", "powers", "recursion", difficulty=0.4)
def powers(rng: Random) -> Draft:
    t = rng.choice(UNSIGNED)
    k = rng.randint(2, 9)
    return rng.choice(
        (
            Draft(
                f"power_of_{k}",
                params={"n": t},
                returns=t,
                docs=(f"Returns {k} to the power of `$n`.", f"Raises {k} to the power of `$n`."),
                bodies=(
                    f"if $n == 0 {{\n    1\n}} else {{\n    {k} * $self($n - 1)\n}}",
                    f"(0..$n).map(|_| {k}).product()",
                ),
                oracle=lambda n: k**n,
                inputs=lambda r: (r.randint(0, 8),),
                edges=((0,), (1,)),
            ),
            Draft(
                f"factors_of_{k}",
                params={"n": t},
                returns=t,
                docs=(f"Counts how often {k} divides `$n`.", f"Returns how many times {k} divides `$n`."),
                bodies=(f"if $n == 0 || $n % {k} != 0 {{\n    0\n}} else {{\n    1 + $self($n / {k})\n}}",),
                oracle=lambda n: n and sum(n % k**i == 0 for i in range(1, 12)),
                inputs=lambda r: (r.randint(0, 9) * k ** r.randint(0, 3),),
                edges=((0,), (1,)),
            ),
        )
    )


FAMILIES = (digits, classics, divisors, powers)
