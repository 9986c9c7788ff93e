"""From a draft to a task: parameter names, phrasing, style of the solution and chat instruction. Pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from random import Random
from string import Template
from textwrap import indent

from reward_farm.problem import Problem
from trainer.tasks.cases import hidden_cases
from trainer.tasks.family import Draft, Family
from trainer.tasks.task import Split, Task
from trainer.tasks.vocabulary import PAIRED_ROLES, PARAMETER_NAMES

UNSEEN_SHARE = 0.12
"""Share of meanings that are kept from training."""
PREFERRED_STYLE = 0.65
"""Share of solutions in a draft's first style. One dominant style is learnt faster; others keep sampling diverse."""
CHAIN_WIDTH = 60
"""rustfmt's `chain_width`: longer method chains are broken into a call a line."""

NAME_NEEDED = re.compile(r"`\$\w+`-th|to `\$n`|from `\$n`")
"""Phrases in which `the n-th` or `from 1 to n` reads badly with `a number` for `n`."""
TYPE_NOUNS = {"&str": "string", "char": "character", "bool": "flag", "f64": "number"}


@dataclass(frozen=True, slots=True)
class Wording:
    """A draft in words and in Rust, without its cases."""

    prompt: str
    instruction: str
    reference: str
    params: tuple[str, ...]
    returns: str


def split_of(family: Family, draft: Draft) -> Split:
    """Decided by what the function means: renaming a parameter or rephrasing never moves a task between splits."""
    if family.split is not Split.TRAIN:
        return family.split
    digest = hashlib.sha256(draft.meaning.encode()).digest()
    unseen = int.from_bytes(digest[:4], "big") < UNSEEN_SHARE * 2**32
    return Split.UNSEEN_TASKS if unseen else Split.TRAIN


def phrase(draft: Draft, rng: Random, style: int | None = None) -> Wording:
    """Chooses names and phrasing; `style` picks a solution, None draws one."""
    names = _parameter_names(draft, rng)
    doc = rng.choice(draft.docs)
    if style is None:
        style = 0 if rng.random() < PREFERRED_STYLE else rng.randrange(len(draft.bodies))
    params = ", ".join(f"{names[role]}: {rust_type}" for role, rust_type in draft.params.items())
    signature = f"{draft.entry}{draft.generics}({params}) -> {draft.returns}"
    fill = {**names, "self": draft.entry}
    body = "\n".join(map(_break_chain, Template(draft.bodies[style]).substitute(fill).splitlines()))
    return Wording(
        prompt=f"/// {Template(doc).substitute(fill)}\npub fn {signature} {{",
        instruction=_instruction(draft, doc, signature, names, rng),
        reference=f"\n{indent(body, '    ')}\n}}\n",
        params=draft.asked_params,
        returns=draft.asked(draft.returns),
    )


def make_task(
    family: Family, draft: Draft, rng: Random, seed: int, style: int | None = None, draw: str = ""
) -> Task | None:
    """A task, or None if no two hidden cases would expect different values: a constant could pass them.

    `draw` is the seed that the family made the draft of, if it is to get other cases later.
    """
    worded = phrase(draft, rng, style)
    task_id = f"{family.name}-{prompt_hash(worded.prompt)}"
    cases = hidden_cases(draft, f"{task_id}:{seed}")
    if cases is None:
        return None
    return Task(
        id=task_id,
        family=family.name,
        split=split_of(family, draft),
        prompt=worded.prompt,
        instruction=worded.instruction,
        reference=worded.reference,
        problem=Problem(draft.entry, worded.params, worded.returns, cases),
        difficulty=family.difficulty,
        tags=family.tags,
        draw=draw,
    )


def prompt_hash(prompt: str) -> str:
    """Names a prompt; two tasks with one prompt are one task."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:12]


def _parameter_names(draft: Draft, rng: Random) -> dict[str, str]:
    paired = rng.randrange(1 << 16)
    while True:
        names = {}
        for role in draft.params:
            pool = PARAMETER_NAMES[role]
            names[role] = pool[paired % len(pool)] if role in PAIRED_ROLES else rng.choice(pool)
        if len(set(names.values())) == len(names):
            return names


def _instruction(draft: Draft, doc: str, signature: str, names: dict[str, str], rng: Random) -> str:
    """The doc comment as a request: "Write a Rust function to reverse a string"."""
    verb, _, clause = doc.rstrip(".").partition(" ")
    ways = [f"Write a Rust function `{signature}` that {verb.lower()} {Template(clause).substitute(names)}."]
    if len(draft.params) == 1 and not NAME_NEEDED.search(clause):
        ((role, rust_type),) = draft.params.items()
        noun = _noun(rust_type)
        article = "an" if noun[0] in "aeio" else "a"
        again = noun.split(" of ")[0].split()[-1]
        clause = clause.replace(f"`${role}`", f"{article} {noun}", 1).replace(f"`${role}`", f"the {again}")
        ways.append(f"Write a Rust function that {verb.lower()} {clause}.")
        ways.append(f"Write a Rust function to {_base_form(verb)} {clause}.")
    return rng.choice(ways)


def _noun(rust_type: str) -> str:
    """What English calls a value of the type."""
    if rust_type.startswith("&["):
        inner = rust_type[2:-1]
        return "slice of strings" if inner == "&str" else f"slice of {inner} values"
    if rust_type.startswith("Option<"):
        return f"optional {rust_type[7:-1]} value"
    if rust_type.startswith("("):
        return "pair"
    return TYPE_NOUNS.get(rust_type, f"{rust_type} number")


def _base_form(verb: str) -> str:
    """`Counts` as `count`, `Multiplies` as `multiply`."""
    verb = verb.lower()
    return verb.removesuffix("ies") + "y" if verb.endswith("ies") else verb.removesuffix("s")


def _break_chain(line: str) -> str:
    """Breaks a method chain that is too wide into a call a line, as rustfmt does."""
    lead, statement = re.match(r"(\s*(?:let [^=]* = )?)(.*)", line).groups()  # type: ignore[union-attr]
    if len(statement.rstrip(";")) <= CHAIN_WIDTH:
        return line
    cuts, depth = [], 0
    for index, char in enumerate(statement):
        depth += (char in "([{") - (char in ")]}")
        if depth == 0 and re.match(r"\.[a-z_]+(::<.*?>)?\(", statement[index:]):
            cuts.append(index)
    if len(cuts) < 2:
        return line
    if cuts[0] <= 4:
        del cuts[0]
    pad = " " * (len(line) - len(line.lstrip()) + 4)
    pieces = [statement[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
    return f"{lead}{f'{chr(10)}{pad}'.join(pieces)}"
