"""Single characters: tests, case, digits and the alphabet."""

from __future__ import annotations

from functools import partial
from random import Random
from string import ascii_lowercase

from trainer.tasks.family import Draft, family
from trainer.tasks.vocabulary import CHAR_CLASSES

OTHERS = "AZbmyz059 .?"


@family("chars", "logic", difficulty=0.2)
def check_char(rng: Random) -> Draft:
    p, q = rng.sample(CHAR_CLASSES, 2)
    single = rng.random() < 0.4
    join, op = rng.choice((("or", "||"), ("but no", "&&")))
    name, words, body = f"is_{p.name}", p.one, p.rust
    if not single:
        name += f"_{'or' if op == '||' else 'not'}_{q.name}"
        words += f" {join} {q.singular if op == '&&' else q.one}"
        body += f" {op} {q.rust if op == '||' else q.negated}"
    return Draft(
        name,
        params={"c": "char"},
        returns="bool",
        docs=(f"Checks whether `$c` is {words}.", f"Returns true if `$c` is {words}."),
        bodies=(body.replace("c.is", "$c.is").replace("(c)", "($c)").replace("c =", "$c =").replace("c !", "$c !"),),
        oracle=lambda c: (
            p.holds(c) if single else p.holds(c) or q.holds(c) if op == "||" else p.holds(c) and not q.holds(c)
        ),
    )


@family("chars", "arithmetic", difficulty=0.4)
def change_char(rng: Random) -> Draft:
    draft = partial(Draft, params={"c": "char"}, inputs=lambda r: (r.choice(ascii_lowercase + OTHERS),))
    lower = partial(draft, inputs=lambda r: (r.choice(ascii_lowercase),), edges=(("a",), ("z",)))
    k = rng.randint(1, 5)
    return rng.choice(
        (
            draft(
                "upper",
                returns="char",
                docs=("Returns `$c` in upper case.", "Converts `$c` to upper case."),
                bodies=("$c.to_ascii_uppercase()",),
                oracle=str.upper,
            ),
            draft(
                "lower",
                returns="char",
                docs=("Returns `$c` in lower case.", "Converts `$c` to lower case."),
                bodies=("$c.to_ascii_lowercase()",),
                oracle=str.lower,
            ),
            draft(
                "digit_value",
                returns="Option<u32>",
                docs=(
                    "Returns the value of the digit `$c`, or `None`.",
                    "Converts the digit `$c` to a number, if it is one.",
                ),
                bodies=("$c.to_digit(10)",),
                oracle=lambda c: int(c) if c.isdigit() else None,
            ),
            draft(
                f"repeat_char_{k + 1}",
                returns="String",
                docs=(f"Returns `$c` repeated {k + 1} times.", f"Repeats `$c` {k + 1} times."),
                bodies=(f"$c.to_string().repeat({k + 1})",),
                oracle=lambda c: c * (k + 1),
            ),
            lower(
                "alphabet_index",
                returns="u8",
                docs=("Returns the index of the lowercase letter `$c` in the alphabet, from 0.",),
                bodies=("$c as u8 - b'a'",),
                oracle=ascii_lowercase.index,
            ),
            lower(
                "alphabet_position",
                returns="u8",
                docs=("Returns the position of the lowercase letter `$c` in the alphabet, from 1.",),
                bodies=("$c as u8 - b'a' + 1",),
                oracle=lambda c: ascii_lowercase.index(c) + 1,
            ),
            lower(
                f"shift_{k}",
                returns="char",
                docs=(
                    f"Returns the letter {k} after the lowercase letter `$c`, wrapping around.",
                    f"Shifts the lowercase letter `$c` by {k}, wrapping around.",
                ),
                bodies=(f"((($c as u8 - b'a' + {k}) % 26) + b'a') as char",),
                oracle=lambda c: ascii_lowercase[(ascii_lowercase.index(c) + k) % 26],
            ),
            draft(
                f"code_plus_{k}",
                returns="u32",
                docs=(f"Returns the code of `$c` plus {k}.", f"Adds {k} to the code of `$c`."),
                bodies=(f"$c as u32 + {k}",),
                oracle=lambda c: ord(c) + k,
            ),
        )
    )


FAMILIES = (check_char, change_char)
