"""An earlier result, read from its JSON document: what a regression is held against."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from wdist.data.features.space import Features
from wdist.data.sources.source import SourceInfo
from wdist.errors import SourceError, UsageError
from wdist.gate.rules import Interval, On, is_asymptotic

_COMMANDS = ("estimate", "synthetic", "compare", "gate")
_WAY_OUT = "record one with `wdist gate A B -o FILE`, or estimate, or compare"


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What an earlier run found of one source against the reference."""

    document: str
    """Where it was read from, as the user wrote it."""
    command: str
    source: str
    """Address of what stood against the reference then."""
    reference: Mapping[str, Any]
    """The reference as its document describes it."""
    metric: str
    features: Mapping[str, Any] | None
    population: Interval
    samples: Interval

    def interval(self, on: On) -> Interval:
        """That of one of the two estimands."""
        return self.population if on == "population" else self.samples

    def check_reference(self, info: SourceInfo, digest: str | None) -> None:
        """Makes sure that the reference is the same as then.

        Arguments:
            info: of the reference now.
            digest: of its samples; None where they are drawn.

        Raises:
            SourceError: it is another, or cannot be known to be the same.
        """
        then = self.reference
        if digest is None or then["digest"] is None:
            if (
                digest is None
                and then["digest"] is None
                and info.kind == then["kind"] == "synthetic"
                and info.address == then["address"]
            ):
                return
            raise SourceError(
                f"A, {info.address}, cannot be checked to be the reference of {self.document}, {then['address']}, because samples "
                f"are drawn without end and have no digest; save some to a file and make that file A in both runs"
            )
        if digest != then["digest"]:
            raise SourceError(
                f"the reference of {self.document} held other samples: {then['address']} with digest {then['digest'][:12]}..., and "
                f"A is now {info.address} with {digest[:12]}...; give the same reference as A, or {_WAY_OUT}"
            )
        for fact in ("scale", "offset", "dropped"):
            if getattr(info, fact) != then[fact]:
                raise SourceError(
                    f"the reference of {self.document} was read with {fact} {then[fact]:g}, and now with {getattr(info, fact):g}; "
                    f"read it in the same manner, or {_WAY_OUT}"
                )

    def check_space(self, metric: str, features: Features | None) -> None:
        """Makes sure that distances are of the same kind as then.

        Arguments:
            metric: now.
            features: the space that both sides are mapped to now.

        Raises:
            UsageError: says which differs.
        """
        if metric != self.metric:
            raise UsageError(f"{self.document} was recorded with --metric {self.metric}, not {metric}; give the same metric")
        now = None if features is None else (features.what, features.dim, features.digest)
        then = None if self.features is None else tuple(self.features.get(name) for name in ("what", "dim", "digest"))
        if now != then:
            spaces = ["the samples themselves" if each is None else f"features by {each[0]}" for each in (then, now)]
            raise UsageError(
                f"{self.document} was recorded between {spaces[0]} and this is between {spaces[1]}"
                + (" with another digest" if spaces[0] == spaces[1] else "")
                + "; give the same --features"
            )


def read_recorded(address: str | Path) -> Recorded:
    """Reads the document of ``wdist estimate``, ``compare`` or ``gate``.

    Arguments:
        address: a file, behind its name a colon and one of the ranked names where a comparison holds several.

    Raises:
        SourceError: the file cannot be read, or holds something else.
        UsageError: the name is missing, or not ranked.
    """
    text = str(address)
    path, name = _taken_apart(text)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it is no JSON document"
        raise SourceError(f"--baseline {path} cannot be read ({reason}); {_WAY_OUT}") from error
    if not isinstance(document, dict) or document.get("command") not in _COMMANDS or document.get("schema_version") != "1":
        raise SourceError(f"--baseline {path} is no document of wdist estimate, compare or gate; {_WAY_OUT}")
    try:
        return _of_comparison(document, text, name) if "ranking" in document else _of_estimate(document, text, name)
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(f"--baseline {path} lacks what is compared ({error}), as if it was edited; {_WAY_OUT}") from error


def _taken_apart(text: str) -> tuple[Path, str | None]:
    if not Path(text).expanduser().exists() and ".json:" in text:
        file, _, name = text.rpartition(".json:")
        return Path(f"{file}.json").expanduser(), name
    return Path(text).expanduser(), None


def _of_estimate(document: dict[str, Any], text: str, name: str | None) -> Recorded:
    if name is not None:
        raise UsageError(f"--baseline {text} names a part, and only the document of a comparison has parts; leave {name!r} out")
    return _recorded(document, text, reference=document["a"], source=document["b"]["address"], result=document)


def _of_comparison(document: dict[str, Any], text: str, name: str | None) -> Recorded:
    entries = {str(entry["name"]): entry for entry in document["ranking"]}
    if name is None and len(entries) == 1:
        name = next(iter(entries))
    if name is None:
        raise UsageError(
            f"--baseline {text} ranks {len(entries)} sources; name one of {', '.join(entries)}: {text}:{next(iter(entries))}"
        )
    if name not in entries:
        near = get_close_matches(name, entries, n=1)
        raise UsageError(
            f"--baseline {text}: no {name!r} is ranked; "
            + (f"did you mean {near[0]!r}?" if near else f"name one of {', '.join(entries)}")
        )
    entry = entries[name]
    source = entry.get("source") or entry.get("b") or {}
    return _recorded(document, text, reference=document["reference"], source=source.get("address", name), result=entry)


def _recorded(document: dict[str, Any], text: str, *, reference: dict[str, Any], source: str, result: dict[str, Any]) -> Recorded:
    population, samples = result["population"], result["samples"]
    for fact in ("address", "kind", "digest", "scale", "offset", "dropped"):
        _ = reference[fact]
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
    )


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def _number_or_none(value: Any) -> float | None:
    return None if value is None else _number(value)
