"""Earlier results, read from their JSON documents as the baseline of a gate."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from wdist.data.features.space import Features
from wdist.data.sources.address import file_and_name
from wdist.data.sources.source import SourceInfo
from wdist.errors import SourceError, UsageError
from wdist.estimation.blocks import Blocks
from wdist.gates.limits import On
from wdist.gates.rules import Interval, is_asymptotic

_COMMANDS = ("estimate", "synthetic", "compare", "gate")
_SCHEMA_VERSION = "1"
_WAY_OUT = "record one with `wdist gate A B -o FILE`, or with estimate or compare"
_OLDER = "because an older wdist or a sequential gate wrote it, or both sides held the same samples"
_MISSING: Mapping[str, str] = {
    "detected": f"does not say what its critic detected, {_OLDER}",
    "block": f"holds no distances between blocks, {_OLDER}",
    "reference": "does not say how far the reference is from a distribution, because B was stored or time was short",
}
"""Reasons why a document may lack the interval of an estimand."""


@dataclass(frozen=True, kw_only=True)
class RecordedBlocks:
    """Distances between blocks of an earlier result, group by group."""

    interval: Interval
    size: int
    seed: int
    values: tuple[float, ...]

    def check(self, now: Blocks) -> None:
        """Makes sure that the blocks of the reference are the same; UsageError if the size or the seed differs."""
        if (now.size, now.seed) != (self.size, self.seed):
            raise UsageError(
                f"the baseline holds distances between blocks of {self.size} samples with --seed {self.seed}, but this run between "
                f"blocks of {now.size} with --seed {now.seed}; give --blocks {self.size} and --seed {self.seed}"
            )


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Earlier result for one source against the reference."""

    document: str
    """The file, as the user wrote it."""
    command: str
    source: str
    """Address of the source."""
    reference: Mapping[str, Any]
    """Description of the reference in the document."""
    metric: str
    features: Mapping[str, Any] | None
    population: Interval
    samples: Interval
    detected: Interval | None = None
    """None if the document lacks it."""
    to_distribution: Interval | None = None
    """W1 from the samples of the reference to a distribution; None if the document lacks it."""
    blocks: RecordedBlocks | None = None
    """None if the document lacks distances between blocks."""

    def interval(self, on: On) -> Interval:
        """The interval of one of the estimands; SourceError if the document does not hold it."""
        block = None if self.blocks is None else self.blocks.interval
        known: dict[On, Interval | None] = {
            "population": self.population,
            "samples": self.samples,
            "detected": self.detected,
            "block": block,
            "reference": self.to_distribution,
        }
        found = known[on]
        if found is None:
            raise SourceError(f"--baseline {self.document} {_MISSING[on]}; {_WAY_OUT}, or judge --on population")
        return found

    def check_reference(self, info: SourceInfo, digest: str | None) -> None:
        """Makes sure that the reference is the same; ``digest`` is None for draws.

        Raises:
            SourceError: the reference is different, or it cannot be checked.
        """
        then = self.reference
        if digest is None or then["digest"] is None:
            if digest == then["digest"] and info.kind == then["kind"] == "synthetic" and info.address == then["address"]:
                return
            raise SourceError(
                f"A ({info.address}) cannot be checked against the reference of {self.document} ({then['address']}), because "
                f"endless draws have no digest; save some to a file and give that file as A in both runs"
            )
        if digest != then["digest"]:
            raise SourceError(
                f"the reference of {self.document} held other samples: {then['address']} with digest {then['digest'][:12]}..., "
                f"but A is now {info.address} with {digest[:12]}...; give the same reference as A, or {_WAY_OUT}"
            )
        lengths = {column.name: column.scale for column in info.columns or () if column.scale != 1}
        if lengths != _lengths(then):
            raise SourceError(
                f"the columns of {self.document} were measured in other units ({then.get('scaling', 'none')}) than now "
                f"({info.scaling}); give the same --scale, or {_WAY_OUT}"
            )
        for fact in ("scale", "offset", "dropped"):
            if getattr(info, fact) != then[fact]:
                raise SourceError(
                    f"the reference of {self.document} was read with {fact} {then[fact]:g}, but now with {getattr(info, fact):g}; "
                    f"read it in the same way, or {_WAY_OUT}"
                )

    def check_space(self, metric: str, features: Features | None) -> None:
        """Makes sure that distances are measured in the same way; UsageError if the metric or the features differ."""
        if metric != self.metric:
            raise UsageError(f"{self.document} was recorded with --metric {self.metric}, not {metric}; give the same metric")
        now = None if features is None else (features.what, features.dim, features.digest)
        then = None if self.features is None else tuple(self.features.get(name) for name in ("what", "dim", "digest"))
        if now != then:
            spaces = ["the samples themselves" if each is None else f"features by {each[0]}" for each in (then, now)]
            raise UsageError(
                f"{self.document} holds distances between {spaces[0]}, but this run measures them between {spaces[1]}"
                + (" with another digest" if spaces[0] == spaces[1] else "")
                + "; give the same --features"
            )


def read_recorded(address: str | Path) -> Recorded:
    """Reads the document of ``wdist estimate``, ``compare`` or ``gate``.

    Arguments:
        address: a file; for a comparison of several sources ``FILE:NAME``.

    Raises:
        SourceError: the file cannot be read, holds something else, or has another schema version.
        UsageError: the name is missing or is not ranked.
    """
    text = str(address)
    path, name = file_and_name(text, ".json")
    if path.exists() and not path.is_file():  # a pipe might block forever
        raise SourceError(f"--baseline {path} is not a regular file; {_WAY_OUT}")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it is not a JSON document"
        raise SourceError(f"--baseline {path} cannot be read ({reason}); {_WAY_OUT}") from error
    if not isinstance(document, dict) or document.get("command") not in _COMMANDS or "schema_version" not in document:
        raise SourceError(f"--baseline {path} is not a result of wdist estimate, compare or gate; {_WAY_OUT}")
    if document["schema_version"] != _SCHEMA_VERSION:
        raise SourceError(
            f"--baseline {path} has schema version {document['schema_version']}; this wdist reads {_SCHEMA_VERSION}; {_WAY_OUT}"
        )
    try:
        return _from_document(document, text, name)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise SourceError(f"--baseline {path} is damaged or was changed ({error}); {_WAY_OUT}") from error


def _from_document(document: dict[str, Any], text: str, name: str | None) -> Recorded:
    """Reads the result itself, or that of the source called ``name`` in a ranking."""
    if "ranking" not in document:
        if name is not None:
            raise UsageError(f"--baseline {text} names a source, but only the result of compare ranks several; leave {name!r} out")
        return _recorded(document, text, reference=document["a"], source=document["b"]["address"], result=document)
    entries = {str(entry["name"]): entry for entry in document["ranking"]}
    if name is None:
        name = next(iter(entries))
        if len(entries) > 1:
            raise UsageError(f"--baseline {text} ranks {len(entries)} sources; name one of {', '.join(entries)}: {text}:{name}")
    if name not in entries:
        near = get_close_matches(name, entries, n=1)
        way_out = f"did you mean {near[0]!r}?" if near else f"name one of {', '.join(entries)}"
        raise UsageError(f"--baseline {text}: {name!r} is not ranked; {way_out}")
    entry = entries[name]
    source = entry.get("source") or entry.get("b") or {}
    return _recorded(document, text, reference=document["reference"], source=source.get("address", name), result=entry)


def _recorded(document: dict[str, Any], text: str, *, reference: dict[str, Any], source: str, result: dict[str, Any]) -> Recorded:
    population, samples = result["population"], result["samples"]
    for fact in ("address", "kind", "digest", "scale", "offset", "dropped"):
        _ = reference[fact]  # KeyError if it is missing
    return Recorded(
        document=text,
        command=document["command"],
        source=source,
        reference=reference,
        metric=document["metric"],
        features=document.get("features"),
        population=Interval(
            on="population",
            lower=_number(population["lower"]),
            upper=_number_or_none(population["upper"]),
            confidence=_number(population["confidence"]),
            asymptotic=is_asymptotic(str(population["method"]), population["upper_method"]),
        ),
        samples=Interval(on="samples", lower=_number(samples["lower"]), upper=_number_or_none(samples["upper"])),
        detected=None if result.get("detected") is None else _detected(result["detected"], result["critic"]),
        to_distribution=None
        if (found := result.get("semi_discrete")) is None
        else _interval(found, "reference", asymptotic=found["method"] == "student"),
        blocks=None if result.get("block") is None else _blocks(result["block"]),
    )


def _interval(found: dict[str, Any], on: On, **facts: Any) -> Interval:
    lower, upper, estimate, confidence = (_number(found[name]) for name in ("lower", "upper", "estimate", "confidence"))
    return Interval(on=on, lower=lower, upper=upper, estimate=estimate, confidence=confidence, **facts)


def _detected(found: dict[str, Any], critic: dict[str, Any]) -> Interval:
    errors = _number(found["error_a"]), _number(found["error_b"])
    counts = int(_number(found["n_a"])), int(_number(found["n_b"]))
    facts = {"asymptotic": is_asymptotic(str(found["method"]), None), "converged": bool(critic["converged"])}
    return _interval(found, "detected", errors=errors, counts=counts, **facts)


def _blocks(found: dict[str, Any]) -> RecordedBlocks:
    size = int(_number(found["size"]))
    interval = _interval(found, "block", size=size, asymptotic=found["method"] == "student")
    values = tuple(_number(each) for each in found["between_values"])
    return RecordedBlocks(interval=interval, size=size, seed=int(_number(found["seed"])), values=values)


def _lengths(reference: Mapping[str, Any]) -> dict[str, float]:
    """Units of length of the columns of a recorded source that are not 1; earlier documents have none."""
    columns = [each for each in reference.get("columns") or () if isinstance(each, dict)]
    return {each["name"]: each["scale"] for each in columns if each["scale"] != 1}


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} instead of a number")
    return float(value)


def _number_or_none(value: Any) -> float | None:
    return None if value is None else _number(value)
