"""Shards of a comparison or a suite, read from their documents and put together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from wdist.comparison.ranking import Comparison, ComparisonShard
from wdist.errors import SourceError, UsageError
from wdist.studies.catalogue import find_study
from wdist.studies.study import Conditions, StudyResult, StudyShard

_Shard: TypeAlias = ComparisonShard | StudyShard


def merged(paths: Sequence[str | Path]) -> Comparison | StudyResult:
    """The joint result of all shards: that of one undivided run, except for times and machines.

    Raises:
        SourceError: a file holds no shard.
        UsageError: the shards belong to different runs, or one is missing or given twice.
    """
    shards: list[Any] = [_read(Path(path)) for path in paths]
    if not shards:
        raise UsageError("there is nothing to merge; give the documents of all shards of a run")
    first = shards[0]
    for path, shard in zip(paths, shards, strict=True):
        if _identity(shard) != _identity(first):
            problem = f"{path} and {paths[0]} are shards of different runs ({_difference(first, shard)})"
            raise UsageError(f"{problem}; give the shards of one run")
    numbers = [shard.number for shard in shards]
    twice = next((number for number in numbers if numbers.count(number) > 1), None)
    if twice is not None:
        raise UsageError(f"shard {twice + 1}/{first.of} is given twice; give each shard once")
    missing = sorted(set(range(first.of)) - set(numbers))
    if missing:
        raise UsageError(f"shard {missing[0] + 1}/{first.of} is missing; give the documents of all {first.of}")
    shards.sort(key=lambda shard: shard.number)
    if isinstance(first, ComparisonShard):
        from wdist.comparison.compare import comparison_of

        return comparison_of(shards)
    conditions = Conditions(quick=first.quick, seeds=first.seeds, budget=first.budget, trials=first.trials)
    return find_study("bench", first.name).result_of(shards, conditions)


def _read(path: Path) -> _Shard:
    from wdist.checkpoints.values import from_text

    if not path.is_file():
        raise SourceError(f"there is no file {path}; write it with --shard I/N -o FILE")
    try:
        shard = json.loads(path.read_text(encoding="utf-8"))["shard"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path} is not the document of a shard; write one with --shard I/N -o FILE") from error
    if shard is None:
        raise SourceError(f"{path} is the document of a whole run, not of a shard; write one with --shard I/N -o FILE")
    try:
        found = from_text(shard["kept"])
    except (KeyError, TypeError, ValueError, AttributeError, ImportError, UsageError) as error:
        raise SourceError(f"the shard in {path} is damaged ({error}); write it again") from error
    if not isinstance(found, ComparisonShard | StudyShard):
        raise SourceError(f"the shard in {path} belongs to no comparison or suite; write it again")
    return found


def _identity(shard: _Shard) -> dict[str, Any]:
    """Settings that all shards of a run share."""
    names = ("of", "names", "confidence", "results", "metric", "seed", "name", "quick", "seeds", "budget", "trials")
    own = {name: getattr(shard, name) for name in names if hasattr(shard, name)}
    return {"kind": type(shard).__name__, **own, **shard.settings}


def _difference(one: _Shard, other: _Shard) -> str:
    """The first setting in which two shards differ, in words."""
    left, right = _identity(one), _identity(other)
    name = next(name for name in {**left, **right} if left.get(name) != right.get(name))
    return "different samples" if name == "samples" else f"{name}: {right.get(name)} and {left.get(name)}"
