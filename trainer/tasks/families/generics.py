"""Type parameters, lifetimes and ownership: functions over any `T`, views into text, values taken and given back."""

from __future__ import annotations

from random import Random

from reward_farm.problem import Value
from trainer.tasks.family import Draft, family, rust
from trainer.tasks.inputs import integer, text, word
from trainer.tasks.task import Split

KINDS = ("i32", "u32", "i64", "u8", "char")


def _items(rng: Random, kind: str) -> list[Value]:
    if kind == "char":
        return [rng.choice("abcxyzAZ09") for _ in range(rng.randint(1, 6))]
    return [integer(rng, "i32" if kind.startswith("i") else "u32") for _ in range(rng.randint(1, 6))]


def _doubled(rng: Random, kind: str) -> list[Value]:
    """Items with repeats."""
    some = _items(rng, kind)
    return [rng.choice(some) for _ in range(rng.randint(1, 7))]


@family("generics", "iterators", "option", difficulty=0.66)
def generic_slices(rng: Random) -> Draft:
    kind = rng.choice(KINDS)
    largest = rng.random() < 0.5
    method, words = ("max", "largest") if largest else ("min", "smallest")
    extreme = Draft(
        entry=f"{words}_of_all",
        params={"xs": "&[T]"},
        returns="Option<T>",
        generics="<T: Ord + Copy>",
        concrete={"T": kind},
        docs=(
            f"Returns the {words} of `$xs`, whatever their type, if any.",
            f"Finds the {words} item of `$xs`, if any.",
        ),
        bodies=(f"$xs.iter().copied().{method}()", f"$xs.iter().{method}().copied()"),
        oracle=lambda xs: (max if largest else min)(xs, default=None),
        inputs=lambda rng: (_items(rng, kind),),
        edges=(([],),),
    )
    distinct = Draft(
        entry="distinct",
        params={"xs": "&[T]"},
        returns="Vec<T>",
        generics="<T: PartialEq + Copy>",
        concrete={"T": kind},
        docs=("Returns each item of `$xs` once, in the order of `$xs`.", "Removes the repeats from `$xs`, in order."),
        bodies=(
            rust("""
                let mut out = Vec::new();
                for &item in $xs {
                    if !out.contains(&item) {
                        out.push(item);
                    }
                }
                out
            """),
        ),
        oracle=lambda xs: list(dict.fromkeys(xs)),
        inputs=lambda rng: (_doubled(rng, kind),),
        edges=(([],),),
    )
    count = Draft(
        entry="count_equal",
        params={"xs": "&[T]", "target": "T"},
        returns="usize",
        generics="<T: PartialEq>",
        concrete={"T": kind},
        docs=("Counts the items of `$xs` that equal `$target`.", "Returns how many items of `$xs` equal `$target`."),
        bodies=("$xs.iter().filter(|&item| *item == $target).count()",),
        oracle=lambda xs, target: xs.count(target),
        inputs=lambda rng: ((xs := _doubled(rng, kind)), rng.choice(xs)),
    )
    is_sorted = Draft(
        entry="ascends",
        params={"xs": "&[T]"},
        returns="bool",
        generics="<T: PartialOrd>",
        concrete={"T": kind},
        docs=("Checks whether no item of `$xs` is less than the one before.", "Returns true if `$xs` never descends."),
        bodies=("$xs.windows(2).all(|pair| pair[0] <= pair[1])",),
        oracle=lambda xs: sorted(xs) == xs,
        inputs=lambda rng: (sorted(_items(rng, kind)) if rng.random() < 0.5 else _items(rng, kind),),
        edges=(([],),),
    )
    return rng.choice((extreme, distinct, count, is_sorted))


@family("lifetimes", "strings", "option", difficulty=0.64)
def borrowed_text(rng: Random) -> Draft:
    longer = Draft(
        entry="longer_text",
        params={"a": "&'a str", "b": "&'a str"},
        returns="&'a str",
        generics="<'a>",
        docs=("Returns the longer of `$a` and `$b`, or `$a` if they are equally long.",),
        bodies=("if $b.len() > $a.len() {\n    $b\n} else {\n    $a\n}",),
        oracle=lambda a, b: b if len(b) > len(a) else a,
        inputs=lambda rng: (word(rng), word(rng)),
        edges=(("", ""), ("ab", "cd")),
    )
    shortest = Draft(
        entry="shortest_text",
        params={"words": "&[&'a str]"},
        returns="Option<&'a str>",
        generics="<'a>",
        docs=("Returns the first of the shortest of `$words`, if any.",),
        bodies=("$words.iter().copied().min_by_key(|word| word.len())",),
        oracle=lambda words: min(words, key=len, default=None),
        inputs=lambda rng: ([word(rng) for _ in range(rng.randint(1, 5))],),
        edges=(([],),),
    )
    separator = rng.choice((":", "=", "-", ","))
    head = rng.random() < 0.5
    side, index = ("before", 0) if head else ("after", 1)
    part = Draft(
        entry=f"text_{side}",
        params={"s": "&'a str"},
        returns="Option<&'a str>",
        generics="<'a>",
        docs=(
            f"Returns what stands {side} the first `{separator}` of `$s`, or `None` without one.",
            f"Finds the part of `$s` {side} its first `{separator}`, if it has one.",
        ),
        bodies=(
            f"$s.split_once('{separator}').map(|(head, _)| head)"
            if head
            else f"$s.split_once('{separator}').map(|(_, tail)| tail)",
        ),
        oracle=lambda s: s.partition(separator)[2 * index] if separator in s else None,
        inputs=lambda rng: (separator.join((word(rng), text(rng))) if rng.random() < 0.7 else text(rng),),
        edges=(("",), (separator,)),
    )
    return rng.choice((longer, shortest, part, part))


@family("ownership", "vectors", difficulty=0.63)
def owned_vectors(rng: Random) -> Draft:
    t = rng.choice(("i32", "i64", "u32", "u64"))
    vector = f"Vec<{t}>"

    def with_item(rng: Random) -> tuple[Value, ...]:
        return [integer(rng, t) for _ in range(rng.randint(1, 6))], integer(rng, t)

    def with_index(rng: Random) -> tuple[Value, ...]:
        return [integer(rng, t) for _ in range(rng.randint(1, 5))], rng.randint(0, 6)

    def move_to_front(owned: list[int], k: int) -> list[int]:
        return [owned[k], *owned[:k], *owned[k + 1 :]] if k < len(owned) else owned

    append = Draft(
        entry="with_both_ends",
        params={"owned": vector, "n": t},
        returns=vector,
        docs=("Returns `$owned` with `$n` put before and after it.", "Adds `$n` at both ends of `$owned`."),
        bodies=("let mut all = $owned;\nall.insert(0, $n);\nall.push($n);\nall",),
        oracle=lambda owned, n: [n, *owned, n],
        inputs=with_item,
        edges=(([], 3),),
    )
    front = Draft(
        entry="move_to_front",
        params={"owned": vector, "k": "usize"},
        returns=vector,
        docs=(
            "Returns `$owned` with the element at index `$k`, if there is one, moved to the front.",
            "Moves the element at index `$k` of `$owned` to the front; without one, nothing changes.",
        ),
        bodies=(
            rust("""
                let mut all = $owned;
                if $k < all.len() {
                    let item = all.remove($k);
                    all.insert(0, item);
                }
                all
            """),
        ),
        oracle=move_to_front,
        inputs=with_index,
        edges=(([], 0),),
    )
    last = Draft(
        entry="split_last_off",
        params={"owned": vector},
        returns=f"Option<({vector}, {t})>",
        docs=("Takes the last element off `$owned` and returns the rest and it, or `None` if there is none.",),
        bodies=("let mut rest = $owned;\nlet last = rest.pop()?;\nSome((rest, last))",),
        oracle=lambda owned: (owned[:-1], owned[-1]) if owned else None,
        inputs=lambda rng: (with_item(rng)[0],),
        edges=(([],),),
    )
    return rng.choice((append, front, last))


@family("ownership", "strings", difficulty=0.66, split=Split.VALIDATION)
def owned_strings(rng: Random) -> Draft:
    mark = rng.choice("!?.;")
    ended = Draft(
        entry="with_end",
        params={"s": "String"},
        returns="String",
        docs=(
            f"Appends `{mark}` to `$s` unless it ends with it.",
            f"Returns `$s` with one `{mark}` at its end at least.",
        ),
        bodies=(f"if $s.ends_with('{mark}') {{\n    $s\n}} else {{\n    $s + \"{mark}\"\n}}",),
        oracle=lambda s: s if s.endswith(mark) else s + mark,
        inputs=lambda rng: (text(rng) + (mark if rng.random() < 0.5 else ""),),
        edges=(("",), (mark,)),
    )
    swapped = Draft(
        entry="swap_contents",
        params={"a": "String", "b": "String"},
        returns="(String, String)",
        docs=("Swaps the texts `$a` and `$b`.", "Returns `$b` and `$a`, without copying either."),
        bodies=("($b, $a)",),
        oracle=lambda a, b: (b, a),
        inputs=lambda rng: (word(rng), text(rng)),
    )
    joined = Draft(
        entry="append_all",
        params={"s": "String", "words": "&[&str]"},
        returns="String",
        docs=(
            "Appends each of `$words` to `$s`, a space before each.",
            "Extends `$s` by `$words`, each after a space.",
        ),
        bodies=(
            "let mut out = $s;\nfor word in $words {\n    out.push(' ');\n    out.push_str(word);\n}\nout",
            '$words.iter().fold($s, |out, word| out + " " + word)',
        ),
        oracle=lambda s, words: s + "".join(f" {each}" for each in words),
        inputs=lambda rng: (word(rng), [word(rng) for _ in range(rng.randint(1, 4))]),
        edges=(("a", []),),
    )
    return rng.choice((ended, swapped, joined))


FAMILIES = (generic_slices, borrowed_text, owned_vectors, owned_strings)
