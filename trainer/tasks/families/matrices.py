"""Matrices as slices of rows: their lines, their turns, their diagonal, and what holds of the whole."""

from __future__ import annotations

from random import Random
from typing import Any

from trainer.tasks.family import Draft, Variant, family, rust
from trainer.tasks.inputs import integer
from trainer.tasks.task import Split
from trainer.tasks.vocabulary import INTEGERS, predicate

MOST_LINES = 4


def _grid(rng: Random, t: str, square: bool = False) -> list[list[int]]:
    height = rng.randint(1, MOST_LINES)
    width = height if square else rng.randint(1, MOST_LINES)
    return [[integer(rng, t) for _ in range(width)] for _ in range(height)]


def _any_grid(t: str, square: bool = False) -> Any:
    return lambda rng: (_grid(rng, t, square),)


@family("matrices", "iterators", difficulty=0.62)
def matrix_lines(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    fold = rng.choice(
        (
            Variant("sums", "sum", "sum()", sum),
            Variant("maxima", "largest element", "max()", max),
            Variant("minima", "smallest element", "min()", min),
        )
    )
    pick = "map" if fold.name == "sums" else "filter_map"
    rows = Draft(
        entry=f"row_{fold.name}",
        params={"grid": f"&[Vec<{t}>]"},
        returns=f"Vec<{t}>",
        docs=(
            f"Returns the {fold.words} of each row of `$grid`.",
            f"Computes the {fold.words} of every row of `$grid`.",
        ),
        bodies=(
            f"$grid.iter().{pick}(|row| row.iter().copied().{fold.rust}).collect()",
            rust(f"""
                let mut out = Vec::with_capacity($grid.len());
                for row in $grid {{
                    out.{"push" if fold.name == "sums" else "extend"}(row.iter().copied().{fold.rust});
                }}
                out
            """).replace("sum()", f"sum::<{t}>()"),
        ),
        oracle=lambda grid: [fold.apply(row) for row in grid],
        inputs=_any_grid(t),
        edges=(([],),),
    )
    columns = Draft(
        entry=f"column_{fold.name}",
        params={"grid": f"&[Vec<{t}>]"},
        returns=f"Vec<{t}>",
        docs=(
            f"Returns the {fold.words} of each column of `$grid`, whose rows are equally long.",
            f"Computes the {fold.words} of every column of `$grid`; all rows have the same length.",
        ),
        bodies=(
            rust(f"""
                let width = $grid.first().map_or(0, Vec::len);
                (0..width).{pick}(|column| $grid.iter().map(|row| row[column]).{fold.rust}).collect()
            """),
        ),
        oracle=lambda grid: [fold.apply(column) for column in zip(*grid, strict=True)],
        inputs=_any_grid(t),
        edges=(([],),),
    )
    return rng.choice((rows, columns))


@family("matrices", "loops", difficulty=0.7)
def matrix_turn(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    turn = rng.choice(
        (
            Variant(
                "transpose",
                "Transposes `$grid`, whose rows are equally long.|Swaps the rows and the columns of `$grid`.",
                "(0..width).map(|column| $grid.iter().map(|row| row[column]).collect()).collect()",
                lambda grid: [list(column) for column in zip(*grid, strict=True)],
            ),
            Variant(
                "rotate_right",
                "Turns `$grid` clockwise by 90 degrees; its rows are equally long.|Rotates `$grid` to the right.",
                "(0..width).map(|column| $grid.iter().rev().map(|row| row[column]).collect()).collect()",
                lambda grid: [list(column) for column in zip(*reversed(grid), strict=True)],
            ),
            Variant(
                "mirror",
                "Reverses each row of `$grid`.|Mirrors `$grid` from left to right.",
                "$grid.iter().map(|row| row.iter().rev().copied().collect()).collect()",
                lambda grid: [row[::-1] for row in grid],
            ),
            Variant(
                "flip",
                "Reverses the order of the rows of `$grid`.|Flips `$grid` upside down.",
                "$grid.iter().rev().cloned().collect()",
                lambda grid: grid[::-1],
            ),
        )
    )
    head = "let width = $grid.first().map_or(0, Vec::len);\n" if "width" in turn.rust else ""
    return Draft(
        entry=turn.name,
        params={"grid": f"&[Vec<{t}>]"},
        returns=f"Vec<Vec<{t}>>",
        docs=tuple(turn.words.split("|")),
        bodies=(head + turn.rust,),
        oracle=turn.apply,
        inputs=_any_grid(t),
        edges=(([],),),
    )


@family("matrices", "filter", difficulty=0.62)
def matrix_whole(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    p = predicate(rng, t)
    end = rng.choice(
        (
            Variant("count", "Counts the", "count()", len, "usize"),
            Variant("sum", "Sums the", "sum()", sum, t),
            Variant("collect", "Collects the", "collect()", list, f"Vec<{t}>"),
        )
    )
    return Draft(
        entry=f"{end.name}_{p.name}_in_grid",
        params={"grid": f"&[Vec<{t}>]"},
        returns=end.returns,
        docs=(
            f"{end.words} {p.of('elements of all rows of `$grid`')}.",
            f"{end.words} {p.of('numbers anywhere in `$grid`')}, row by row.",
        ),
        bodies=(
            f"$grid.iter().flatten().copied().filter(|&x| {p.rust}).{end.rust}",
            f"$grid.iter().flat_map(|row| row.to_vec()).filter(|&x| {p.rust}).{end.rust}",
        ),
        oracle=lambda grid: end.apply([x for row in grid for x in row if p.holds(x)]),
        near=p.near,
        inputs=_any_grid(t),
        edges=(([],),),
    )


@family("matrices", "logic", difficulty=0.68, split=Split.VALIDATION)
def matrix_diagonal(rng: Random) -> Draft:
    t = rng.choice(INTEGERS)
    diagonal = Draft(
        entry="diagonal",
        params={"grid": f"&[Vec<{t}>]"},
        returns=f"Vec<{t}>",
        docs=("Returns the main diagonal of the square matrix `$grid`.", "Collects the diagonal elements of `$grid`."),
        bodies=("$grid.iter().enumerate().map(|(i, row)| row[i]).collect()",),
        oracle=lambda grid: [row[i] for i, row in enumerate(grid)],
        inputs=_any_grid(t, square=True),
        edges=(([],),),
    )
    trace = Draft(
        entry="trace",
        params={"grid": f"&[Vec<{t}>]"},
        returns=t,
        docs=("Sums the main diagonal of the square matrix `$grid`.", "Returns the trace of `$grid`."),
        bodies=("$grid.iter().enumerate().map(|(i, row)| row[i]).sum()",),
        oracle=lambda grid: sum(row[i] for i, row in enumerate(grid)),
        inputs=_any_grid(t, square=True),
        edges=(([],),),
    )
    symmetric = Draft(
        entry="is_symmetric",
        params={"grid": f"&[Vec<{t}>]"},
        returns="bool",
        docs=(
            "Checks whether the square matrix `$grid` equals its transpose.",
            "Returns true if the square matrix `$grid` is symmetric.",
        ),
        bodies=("(0..$grid.len()).all(|i| (0..i).all(|j| $grid[i][j] == $grid[j][i]))",),
        oracle=lambda grid: grid == [list(column) for column in zip(*grid, strict=True)],
        inputs=lambda rng: (_maybe_symmetric(rng, t),),
        edges=(([],), ([[1, 2], [3, 4]],)),
    )
    return rng.choice((diagonal, trace, symmetric))


def _maybe_symmetric(rng: Random, t: str) -> list[list[int]]:
    grid = _grid(rng, t, square=True)
    if rng.random() < 0.6:
        return [[grid[max(i, j)][min(i, j)] for j in range(len(grid))] for i in range(len(grid))]
    return grid


FAMILIES = (matrix_lines, matrix_turn, matrix_whole, matrix_diagonal)
