"""Types of one's own: error enums with `Display`, structs with methods, traits with several implementations.

The types stand inside the function: what crosses into the sandbox is made of std's alone.
"""

from __future__ import annotations

from math import gcd
from random import Random

from reward_farm.problem import Err, Ok, Value
from trainer.tasks.family import Draft, Variant, family, rust
from trainer.tasks.task import Split


def _number_text(rng: Random) -> str:
    return rng.choice(
        (str(rng.randint(-30, 150)), str(rng.randint(0, 12)), "", "  7", "x", "3.5", "-0", "+4", "99", "a1")
    )


def _parsed(s: str) -> int | None:
    digits = s.removeprefix("-") if s.startswith("-") else s.removeprefix("+")
    return int(s) if digits.isascii() and digits.isdigit() else None


@family("error enums", "parsing", "result", difficulty=0.75)
def error_enum(rng: Random) -> Draft:
    k = rng.choice((9, 12, 50, 99, 100))
    limit = rng.choice(
        (
            Variant(f"up_to_{k}", f"at most {k}", f"number > {k}", lambda n: n > k, "too large"),
            Variant(f"from_{k}", f"at least {k}", f"number < {k}", lambda n: n < k, "too small"),
        )
    )
    empty, bad = rng.choice((("empty", "not a number"), ("no input", "no number"), ("missing", "invalid")))

    def oracle(s: str) -> Ok | Err:
        if not s:
            return Err(empty)
        if (number := _parsed(s)) is None:
            return Err(bad)
        return Err(limit.returns) if limit.apply(number) else Ok(number)

    return Draft(
        entry=f"parse_{limit.name}",
        params={"s": "&str"},
        returns="Result<i64, String>",
        docs=(
            f"Parses `$s` as a number of {limit.words}; the error says `{empty}`, `{bad}` or `{limit.returns}`.",
            f"Returns the number in `$s`, {limit.words}, or `{empty}`, `{bad}` or `{limit.returns}` as the error.",
        ),
        bodies=(
            rust(f"""
                enum Fault {{
                    Empty,
                    Bad,
                    Beyond,
                }}
                impl std::fmt::Display for Fault {{
                    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{
                        f.write_str(match self {{
                            Fault::Empty => "{empty}",
                            Fault::Bad => "{bad}",
                            Fault::Beyond => "{limit.returns}",
                        }})
                    }}
                }}
                fn parse(text: &str) -> Result<i64, Fault> {{
                    if text.is_empty() {{
                        return Err(Fault::Empty);
                    }}
                    let number = text.parse().map_err(|_| Fault::Bad)?;
                    if {limit.rust} {{
                        return Err(Fault::Beyond);
                    }}
                    Ok(number)
                }}
                parse($s).map_err(|fault| fault.to_string())
            """),
        ),
        oracle=oracle,
        inputs=lambda rng: (_number_text(rng),),
        edges=(("",), ("x",), (str(k),), (str(k + 1),), (str(k - 1),)),
    )


SHAPES = (
    Variant("areas", "area", "self.0 * self.1", lambda w, h: w * h),
    Variant("perimeters", "perimeter", "2 * (self.0 + self.1)", lambda w, h: 2 * (w + h)),
)


@family("structs", "traits", "iterators", difficulty=0.7)
def shapes(rng: Random) -> Draft:
    t = rng.choice(("u32", "u64", "i32"))
    shape = rng.choice(SHAPES)
    fold = rng.choice(
        (
            Variant("total", "Sums", "sum()", sum, t),
            Variant("each", "Collects", "collect()", list, f"Vec<{t}>"),
            Variant("largest", "Finds the largest of", "max()", lambda xs: max(xs, default=None), f"Option<{t}>"),
        )
    )
    method = shape.words
    return Draft(
        entry=f"{fold.name}_{shape.name}",
        params={"xs": f"&[({t}, {t})]"},
        returns=fold.returns,
        docs=(
            f"{fold.words} the {shape.name} of the rectangles `$xs`, each a width and a height.",
            f"{fold.words} the {method} of every rectangle of `$xs`, given as width and height.",
        ),
        bodies=(
            rust(f"""
                trait Shape {{
                    fn {method}(&self) -> {t};
                }}
                struct Rectangle({t}, {t});
                impl Shape for Rectangle {{
                    fn {method}(&self) -> {t} {{
                        {shape.rust}
                    }}
                }}
                $xs.iter().map(|&(w, h)| Rectangle(w, h).{method}()).{fold.rust}
            """),
            f"$xs.iter().map(|&(w, h)| {shape.rust.replace('self.0', 'w').replace('self.1', 'h')}).{fold.rust}",
        ),
        oracle=lambda xs: fold.apply([shape.apply(w, h) for w, h in xs]),
        inputs=lambda rng: ([(rng.randint(0, 9), rng.randint(0, 9)) for _ in range(rng.randint(1, 5))],),
        edges=(([],),),
    )


@family("structs", "result", "loops", difficulty=0.8)
def account(rng: Random) -> Draft:
    t = rng.choice(("i64", "i32"))
    refused = rng.choice(("overdrawn", "insufficient funds", "not enough money"))

    def oracle(balance: int, changes: list[int]) -> Ok | Err:
        for change in changes:
            balance += change
            if balance < 0:
                return Err(refused)
        return Ok(balance)

    return Draft(
        entry="book",
        params={"balance": t, "changes": f"&[{t}]"},
        returns=f"Result<{t}, String>",
        docs=(
            f"Adds `$changes` to `$balance` one by one; `{refused}` is the error once it falls below zero.",
            f"Returns `$balance` after all of `$changes`, or `{refused}` if it is negative in between.",
        ),
        bodies=(
            rust(f"""
                struct Account {{
                    balance: {t},
                }}
                impl Account {{
                    fn book(&mut self, change: {t}) -> Result<(), String> {{
                        self.balance += change;
                        if self.balance < 0 {{
                            return Err("{refused}".to_string());
                        }}
                        Ok(())
                    }}
                }}
                let mut account = Account {{ balance: $balance }};
                for &change in $changes {{
                    account.book(change)?;
                }}
                Ok(account.balance)
            """),
            rust(f"""
                $changes.iter().try_fold($balance, |sum, &change| {{
                    let sum = sum + change;
                    if sum < 0 {{
                        Err("{refused}".to_string())
                    }} else {{
                        Ok(sum)
                    }}
                }})
            """),
        ),
        oracle=oracle,
        inputs=lambda rng: (rng.randint(0, 15), [rng.randint(-12, 12) for _ in range(rng.randint(1, 6))]),
        edges=((5, []), (5, [-5]), (5, [-6]), (5, [-6, 10])),
    )


@family("structs", "operators", "tuple", difficulty=0.8, split=Split.VALIDATION)
def fractions(rng: Random) -> Draft:
    t = rng.choice(("u32", "u64"))
    rule = rng.choice(
        (
            Variant(
                "add", "Adds", "a.0 * b.1 + b.0 * a.1, a.1 * b.1", lambda a, b: (a[0] * b[1] + b[0] * a[1], a[1] * b[1])
            ),
            Variant("multiply", "Multiplies", "a.0 * b.0, a.1 * b.1", lambda a, b: (a[0] * b[0], a[1] * b[1])),
        )
    )

    def oracle(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        top, bottom = rule.apply(a, b)
        shared = gcd(top, bottom)
        return top // shared, bottom // shared

    def draw(rng: Random) -> tuple[Value, ...]:
        return tuple((rng.randint(0, 12), rng.randint(1, 12)) for _ in range(2))

    sums = rule.rust.replace("a.", "$a.").replace("b.", "$b.").split(", ")
    return Draft(
        entry=f"{rule.name}_fractions",
        params={"a": f"({t}, {t})", "b": f"({t}, {t})"},
        returns=f"({t}, {t})",
        docs=(
            f"{rule.words} the fractions `$a` and `$b`, each a numerator and a denominator, and reduces the result.",
            f"{rule.words} `$a` and `$b` as fractions of numerator and denominator; the result is in lowest terms.",
        ),
        bodies=(
            rust(f"""
                fn shared(a: {t}, b: {t}) -> {t} {{
                    if b == 0 {{
                        a
                    }} else {{
                        shared(b, a % b)
                    }}
                }}
                let (top, bottom) = ({sums[0]}, {sums[1]});
                let by = shared(top, bottom);
                (top / by, bottom / by)
            """),
        ),
        oracle=oracle,
        inputs=draw,
        edges=(((1, 2), (1, 2)), ((0, 5), (0, 3))),
    )


FAMILIES = (error_enum, shapes, account, fractions)
