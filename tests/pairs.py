"""Pairwise test combinations: every pair of values of two settings occurs, but not every combination of all settings."""

from collections.abc import Iterable, Sequence
from itertools import combinations, product
from typing import Any

import pytest


def covering(*factors: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Choose combinations of values, one of each factor, so that every pair of values of two factors occurs.

    Greedy: each step chooses the combination with the most new pairs (Cohen et al., 1997, "The AETG system").
    Deterministic.

    >>> len(covering("ab", "xy", "12")), len(list(product("ab", "xy", "12")))
    (4, 8)
    """
    rows = list(product(*map(range, map(len, factors))))
    factor_pairs = list(combinations(range(len(factors)), 2))

    def pairs(row: tuple[int, ...]) -> set[tuple[int, int, int, int]]:
        return {(a, b, row[a], row[b]) for a, b in factor_pairs}

    missing, chosen = set().union(*map(pairs, rows)), []
    while missing:
        best = max(rows, key=lambda row: len(pairs(row) & missing))
        missing -= pairs(best)
        chosen.append(best)
    return [tuple(factor[i] for factor, i in zip(factors, row, strict=True)) for row in chosen]


def pairs_first(*factors: Iterable[Any]) -> list[Any]:
    """All combinations as test parameters. Those not in `covering` are marked slow."""
    values = [list(factor) for factor in factors]
    fast = set(covering(*values))
    return [
        pytest.param(*row, marks=() if row in fast else pytest.mark.slow, id="-".join(map(str, row)))
        for row in product(*values)
    ]
