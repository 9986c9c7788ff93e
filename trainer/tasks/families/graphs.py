"""Small graphs as lists of edges: degrees, neighbours, reach and distance."""

from __future__ import annotations

from random import Random

from reward_farm.problem import Value
from trainer.tasks.family import Draft, family, rust
from trainer.tasks.task import Split

EDGES = "&[(usize, usize)]"


def _graph(rng: Random) -> tuple[int, list[tuple[int, int]]]:
    size = rng.randint(1, 6)
    edges = {(rng.randrange(size), rng.randrange(size)) for _ in range(rng.randint(0, 7))}
    return size, sorted(edges, key=lambda _: rng.random())


def _sized(rng: Random) -> tuple[Value, ...]:
    size, edges = _graph(rng)
    return size, list(edges)


def _reached(edges: list[tuple[int, int]], start: int) -> dict[int, int]:
    """Distance of each node that can be reached."""
    distance, queue = {start: 0}, [start]
    for node in queue:
        for a, b in edges:
            if a == node and b not in distance:
                distance[b] = distance[node] + 1
                queue.append(b)
    return distance


@family("graphs", "loops", difficulty=0.65)
def degrees(rng: Random) -> Draft:
    into = rng.random() < 0.5
    end, side = ("in", "1") if into else ("out", "0")
    words = "end at" if into else "start from"
    return Draft(
        entry=f"{end}_degrees",
        params={"size": "usize", "edges": EDGES},
        returns="Vec<usize>",
        docs=(
            f"Returns how many of the directed `$edges` {words} each node below `$size`.",
            f"Counts the directed `$edges` that {words} each of the `$size` nodes.",
        ),
        bodies=(
            rust(f"""
                let mut degrees = vec![0; $size];
                for edge in $edges {{
                    degrees[edge.{side}] += 1;
                }}
                degrees
            """),
            f"(0..$size).map(|node| $edges.iter().filter(|edge| edge.{side} == node).count()).collect()",
        ),
        oracle=lambda size, edges: [sum(edge[int(side)] == node for edge in edges) for node in range(size)],
        inputs=_sized,
        edges=((3, []),),
    )


@family("graphs", "filter", difficulty=0.62)
def neighbours(rng: Random) -> Draft:
    undirected = rng.random() < 0.5

    def draw(rng: Random) -> tuple[Value, ...]:
        size, edges = _graph(rng)
        return list(edges), rng.randrange(size)

    directed_draft = Draft(
        entry="successors",
        params={"edges": EDGES, "start": "usize"},
        returns="Vec<usize>",
        docs=(
            "Returns the ends of the directed `$edges` that begin at `$start`, in order.",
            "Collects the nodes to which one of the directed `$edges` leads from `$start`.",
        ),
        bodies=(
            "$edges.iter().filter(|edge| edge.0 == $start).map(|edge| edge.1).collect()",
            "$edges.iter().filter_map(|&(a, b)| (a == $start).then_some(b)).collect()",
        ),
        oracle=lambda edges, start: [b for a, b in edges if a == start],
        inputs=draw,
        edges=(([], 0),),
    )
    linked = Draft(
        entry="are_linked",
        params={"edges": EDGES, "a": "usize", "b": "usize"},
        returns="bool",
        docs=(
            "Checks whether one of the undirected `$edges` joins `$a` and `$b`.",
            "Returns true if `$edges` holds an edge between `$a` and `$b`, in either direction.",
        ),
        bodies=("$edges.iter().any(|&edge| edge == ($a, $b) || edge == ($b, $a))",),
        oracle=lambda edges, a, b: (a, b) in edges or (b, a) in edges,
        inputs=lambda rng: (list((graph := _graph(rng))[1]), rng.randrange(graph[0]), rng.randrange(graph[0])),
        edges=(([], 0, 1), ([(0, 1)], 1, 0), ([(0, 1)], 0, 1)),
    )
    return linked if undirected else directed_draft


SEARCH = """
let mut distance = vec![None::<usize>; $size];
distance[$start] = Some(0);
let mut queue = std::collections::VecDeque::from([$start]);
while let Some(node) = queue.pop_front() {
    for &(a, b) in $edges {
        if a == node && distance[b].is_none() {
            distance[b] = distance[node].map(|steps| steps + 1);
            queue.push_back(b);
        }
    }
}
"""


@family("graphs", "search", "loops", difficulty=0.85)
def graph_distance(rng: Random) -> Draft:  # noqa: ARG001
    def draw(rng: Random) -> tuple[Value, ...]:
        size, edges = _graph(rng)
        return size, list(edges), rng.randrange(size)

    return Draft(
        entry="steps_from_zero",
        params={"size": "usize", "edges": EDGES, "end": "usize"},
        returns="Option<usize>",
        docs=(
            "Returns the fewest directed `$edges` that lead from node 0 to `$end` among `$size` nodes, or `None`.",
            "Finds the length of the shortest way from node 0 to `$end` on the directed `$edges` of `$size` nodes.",
        ),
        bodies=(SEARCH.strip().replace("$start", "0") + "\ndistance[$end]",),
        oracle=lambda _, edges, end: _reached(edges, 0).get(end),
        inputs=draw,
        edges=((2, [], 1), (1, [], 0), (3, [(0, 1), (1, 2)], 2), (3, [(1, 0)], 1)),
    )


@family("graphs", "search", "loops", difficulty=0.85, split=Split.VALIDATION)
def graph_reach(rng: Random) -> Draft:
    count = rng.random() < 0.5

    def draw(rng: Random) -> tuple[Value, ...]:
        size, edges = _graph(rng)
        return size, list(edges), rng.randrange(size)

    return Draft(
        entry="count_reachable" if count else "reachable",
        params={"size": "usize", "edges": EDGES, "start": "usize"},
        returns="usize" if count else "Vec<bool>",
        docs=(
            "Counts the nodes below `$size` that the directed `$edges` lead to from `$start`, itself included."
            if count
            else "Returns whether the directed `$edges` lead from `$start` to each node below `$size`.",
        ),
        bodies=(
            SEARCH.strip()
            + ("\ndistance.iter().flatten().count()" if count else "\ndistance.iter().map(Option::is_some).collect()"),
        ),
        oracle=lambda size, edges, start: (
            len(_reached(edges, start)) if count else [node in _reached(edges, start) for node in range(size)]
        ),
        inputs=draw,
        edges=((1, [], 0), (3, [(0, 1)], 1), (3, [(0, 1), (1, 2), (2, 0)], 1)),
    )


FAMILIES = (degrees, neighbours, graph_distance, graph_reach)
