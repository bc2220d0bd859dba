"""Covering pairs: a law about how two settings go together needs each pair of their values, not each combination of all."""

from collections.abc import Iterable, Sequence
from itertools import combinations, product
from typing import Any

import pytest


def covering(*factors: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Combinations, one value of each factor in order, in which every pair of values of two factors occurs.

    Greedy: the next combination is the one with the most pairs that have not occurred yet (Cohen et al., 1997, "The AETG
    system"). The same factors give the same combinations.

    >>> len(covering("ab", "xy", "12")), len(list(product("ab", "xy", "12")))
    (4, 8)
    """
    every = list(product(*map(range, map(len, factors))))
    places = list(combinations(range(len(factors)), 2))

    def pairs(row: tuple[int, ...]) -> set[tuple[int, int, int, int]]:
        return {(a, b, row[a], row[b]) for a, b in places}

    missing, chosen = set().union(*map(pairs, every)), []
    while missing:
        best = max(every, key=lambda row: len(pairs(row) & missing))
        missing -= pairs(best)
        chosen.append(best)
    return [tuple(factor[i] for factor, i in zip(factors, row, strict=True)) for row in chosen]


def pairs_first(*factors: Iterable[Any]) -> list[Any]:
    """All combinations as test parameters: those of `covering` as they are, the others marked slow."""
    values = [list(factor) for factor in factors]
    often = set(covering(*values))
    return [
        pytest.param(*row, marks=() if row in often else pytest.mark.slow, id="-".join(map(str, row)))
        for row in product(*values)
    ]
