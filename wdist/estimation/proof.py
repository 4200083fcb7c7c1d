"""Proofs: all that the numbers of an estimate follow from, in one safetensors file (the page ``proofs`` of the guide)."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import save  # that of torch refuses tensors that share memory
from torch import Tensor

from wdist.bounds.confidence import METHODS
from wdist.bounds.divergence import ClippedPotential
from wdist.critics.frozen import FrozenCritic
from wdist.critics.settings import LARGEST_LIPSCHITZ, LEAST_LIPSCHITZ
from wdist.data.measure import fold_rows, held_out_rows
from wdist.data.sources.address import file_and_name
from wdist.data.sources.column import CATEGORY, Column
from wdist.data.sources.source import SourceInfo
from wdist.data.tables.encoding import is_plain, laid_out
from wdist.data.tables.joint import Encoding
from wdist.errors import SourceError, UsageError
from wdist.estimation.divergence import Divergence, DivergenceEvidence
from wdist.estimation.options import MOST_DRAWS, MOST_FOLDS
from wdist.estimation.population_upper import BOUNDS
from wdist.estimation.result import CROSS_FITTED, CriticResult, Estimate
from wdist.files import PROOF_SUFFIX, atomic_write, read_safetensors
from wdist.ground_metric import METRICS
from wdist.transport.coupling import Plan

FORMAT = "wdist-proof-1"
_WAY_OUT = "give a file that `wdist estimate A B --save-proof FILE` wrote"
_PLAN, _DUAL, _HELD_OUT, _BLOCK, _CRITIC, _DIVERGENCE = "plan", "dual", "held-out", "block", "critic", "divergence"
"""First words of the names of tensors."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True)
class Ends:
    """The two ends of an interval, as they were claimed."""

    lower: float
    upper: float | None


class ProvedSource(_Part):
    """One side of a proof."""

    address: str
    digest: str | None
    """SHA-256 of the stored samples; None for an endless source."""
    dropped: Annotated[int, Field(ge=0)] = 0
    """Number of rows that were left out."""


class ProvedColumn(_Part):
    """One column of both sides, as it became coordinates."""

    name: str
    named: bool
    type: Literal["number", "boolean", "date", "category"]
    unit: str
    levels: tuple[str, ...]
    scale: Annotated[float, Field(gt=0)]
    fill: float | None
    indicator: bool

    def model_post_init(self, context: Any, /) -> None:
        """Checks what belongs together.

        Raises:
            ValueError: it does not.
        """
        category = self.type == CATEGORY
        fills = self.fill is not None
        if category != bool(self.levels or (category and self.indicator)) or len(set(self.levels)) < len(self.levels):
            raise ValueError(f"the levels of {self.name!r} are not those of a category")
        if fills != (self.indicator and not category):
            raise ValueError(f"{self.name!r} has no number for missing ones, or needs none")


class ProvedFeatures(_Part):
    """The feature space of a proof."""

    spec: str
    digest: str | None


class ProvedFold(_Part):
    """A critic with the lower end for the samples that is claimed to follow from it."""

    critic: str
    """As :meth:`FrozenCritic.description` wrote it."""
    samples_lower: float


class ProvedCritic(_Part):
    """A kind of critic, trained once, or once for each fold of the samples."""

    name: str
    title: str
    population_lower: float
    folds: Annotated[tuple[ProvedFold, ...], Field(min_length=1)]


class ProvedUpper(_Part):
    """The upper end for the populations, from couplings of independent blocks."""

    bound: str
    tried: Annotated[int, Field(ge=1, le=len(BOUNDS))]
    blocks: Annotated[int, Field(ge=1, le=10_000)]


class ProvedDivergence(_Part):
    """A divergence with a Lipschitz critic; its bound for the distributions shares the error with those for W1."""

    model_config = ConfigDict(populate_by_name=True)

    name: Annotated[str, Field(pattern="^kl$")]
    lambda_: Annotated[float, Field(alias="lambda", ge=LEAST_LIPSCHITZ, le=LARGEST_LIPSCHITZ)]
    critic: str
    """As :meth:`FrozenCritic.description` wrote it."""
    title: str
    trained_for: Annotated[str, Field(pattern="^(kl|w1)$")]
    factor: Annotated[float, Field(ge=0)]
    low: float
    high: float
    shift: float
    """The potential is clip(factor critic, low, high) - shift."""
    method: str
    samples: Ends
    population: Ends

    def model_post_init(self, context: Any, /) -> None:
        """Checks the method, and that the exponential of the potential does not overflow.

        Raises:
            ValueError: it is unknown, or it does.
        """
        if self.method not in METHODS:
            raise ValueError(f"{self.method!r} is unknown")
        if not self.low <= self.high <= self.shift + _HIGHEST:
            raise ValueError("the potential of its divergence has no values, or too large ones")

    @property
    def clipped(self) -> ClippedPotential:
        """The function of the values of the critic."""
        return ClippedPotential(factor=self.factor, low=self.low, high=self.high, shift=self.shift)


_HIGHEST = 100.0
"""Nats that a potential may exceed the logarithm of the mean of its exponential by; what is fitted stays far below."""


class Statement(_Part):
    """Claims of a proof, with their conditions."""

    metric: str
    seed: Annotated[int, Field(ge=0)]
    confidence: Annotated[float, Field(ge=0.5, lt=1)]
    jointly_with: Annotated[int, Field(ge=1)]
    """Number of bounds that share the error equally."""
    method: str
    a: ProvedSource
    b: ProvedSource
    features: ProvedFeatures | None
    draws: Annotated[int, Field(ge=1, le=MOST_DRAWS)] | None = None
    """Number of draws of an endless source; None for those that wdist chooses."""
    folds: Annotated[int, Field(ge=2, le=MOST_FOLDS)] | None
    """Number of folds that were held out in turn; None where one part of the samples was."""
    samples: Ends
    population: Ends
    """By the first critic, and by the couplings of blocks."""
    critics: Annotated[tuple[ProvedCritic, ...], Field(min_length=1)]
    upper: ProvedUpper | None
    divergence: ProvedDivergence | None = None
    scaling: str = "none"
    """Origin of the units of length of the columns."""
    columns: tuple[ProvedColumn, ...] | None = None
    """Columns of both sides, where their values are not the coordinates themselves."""

    @property
    def encoding(self) -> Encoding | None:
        """Encoding of the rows of tables as samples; None where rows are samples."""
        if self.columns is None:
            return None
        columns = laid_out([Column(start=0, stop=1, **column.model_dump()) for column in self.columns])
        return Encoding(columns=columns, scaling=self.scaling)

    def model_post_init(self, context: Any, /) -> None:
        """Checks the names.

        Raises:
            ValueError: one of them is unknown.
        """
        for name, known in ((self.metric, METRICS), (self.method, METHODS)):
            if name not in known:
                raise ValueError(f"{name!r} is unknown")
        if self.upper is not None and self.upper.bound not in BOUNDS:
            raise ValueError(f"{self.upper.bound!r} is unknown")
        if self.scaling == "none" and any(column.scale != 1 for column in self.columns or ()):
            raise ValueError("its columns are scaled, and it says that they are not")
        if self.folds is not None and self.encoding is not None and self.encoding.fitted:
            raise ValueError("its metric is fitted to samples that its folds hold out")
        if self.folds is not None and self.divergence is not None:
            raise ValueError("its divergence has no folds")
        if any(len(each.folds) > (self.folds or 1) for each in self.critics):
            raise ValueError("a critic has more folds than the samples")


@dataclass(frozen=True, kw_only=True, eq=False)
class Proof:
    """A statement with its evidence."""

    statement: Statement
    critics: tuple[tuple[FrozenCritic, ...], ...]
    """Critics of each fold, in the order of the statement."""
    held_out: tuple[tuple[np.ndarray | None, np.ndarray | None], ...]
    """Rows of each side that the lower ends for the populations rest on, ascending, for each fold; None for an endless source."""
    plan: Plan | None
    """Between all samples, for the upper end."""
    potentials: tuple[Tensor, Tensor] | None
    """Dual variables of all samples, shapes (n,) and (m,), in the units of the data, for the lower end."""
    blocks: tuple[Plan | None, ...]
    """Plans for the upper end of the populations, between positions in a block; a single block holds all samples in their order."""
    divergence: tuple[FrozenCritic, DivergenceEvidence] | None
    """The critic of the divergence, and what else proves its ends for the samples."""

    @property
    def frozen(self) -> Iterator[FrozenCritic]:
        """Every critic."""
        yield from (critic for folds in self.critics for critic in folds)
        if self.divergence is not None:
            yield self.divergence[0]


def save_proof(estimate: Estimate, path: str | Path) -> None:
    """Saves what proves the numbers of an estimate, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    atomic_write(Path(path), proof_of_estimate(estimate))


def proof_of_estimate(estimate: Estimate) -> bytes:
    """The proof of one estimate, as the bytes of a safetensors file."""
    return serialise_proofs({"": estimate})


def serialise_proofs(estimates: Mapping[str, Estimate]) -> bytes:
    """The proofs of one or several estimates, by name, as the bytes of one safetensors file."""
    statements = {name: _statement(estimate).model_dump(by_alias=True) for name, estimate in estimates.items()}
    tensors = {
        f"{number}/{name}": np.ascontiguousarray(tensor)
        for number, estimate in enumerate(estimates.values())
        for name, tensor in _tensors(estimate)
    }
    return save(tensors, metadata={"format": FORMAT, "statements": json.dumps(statements)})


def _statement(estimate: Estimate) -> Statement:
    features, population = estimate.features, estimate.population
    upper = None if estimate.transport is None else estimate.transport.population_upper
    return Statement(
        metric=estimate.metric,
        seed=estimate.seed,
        confidence=population.confidence,
        jointly_with=population.jointly_with,
        method="welch" if population.method == CROSS_FITTED else population.method,
        a=ProvedSource(address=estimate.a.address, digest=estimate.digest_a, dropped=estimate.a.dropped),
        b=ProvedSource(address=estimate.b.address, digest=estimate.digest_b, dropped=estimate.b.dropped),
        features=None if features is None else ProvedFeatures(spec=features.spec, digest=features.digest),
        draws=estimate.draws,
        folds=estimate.folds,
        samples=Ends(lower=estimate.samples.lower, upper=estimate.samples.upper),
        population=Ends(lower=population.lower, upper=population.upper),
        critics=tuple(_of_critic(each) for each in estimate.critics),
        upper=None if upper is None else ProvedUpper(bound=upper.bound, tried=upper.tried, blocks=len(upper.plans)),
        divergence=None if estimate.divergence is None else _of_divergence(estimate.divergence),
        scaling=estimate.a.scaling,
        columns=_columns(estimate.a),
    )


def _columns(info: SourceInfo) -> tuple[ProvedColumn, ...] | None:
    if info.columns is None or (info.scaling == "none" and is_plain(info.columns)):
        return None
    return tuple(ProvedColumn(**{name: getattr(column, name) for name in ProvedColumn.model_fields}) for column in info.columns)


def _of_critic(result: CriticResult) -> ProvedCritic:
    folds = tuple(
        ProvedFold(critic=each.frozen.description(), samples_lower=each.samples.lower) for each in result.folds or (result,)
    )
    return ProvedCritic(name=result.name, title=result.title, population_lower=result.population.lower, folds=folds)


def _of_divergence(found: Divergence) -> ProvedDivergence:
    critic, clipped = found.critic, found.critic.clipped
    return ProvedDivergence(
        name=found.name,
        lambda_=found.lambda_,
        critic=critic.frozen.description(),
        title=critic.name,
        trained_for=critic.trained_for,
        factor=clipped.factor,
        low=clipped.low,
        high=clipped.high,
        shift=clipped.shift,
        method=found.population.method,
        samples=Ends(lower=found.samples.lower, upper=found.samples.upper),
        population=Ends(lower=found.population.lower, upper=found.population.upper),
    )


def _tensors(estimate: Estimate) -> Iterator[tuple[str, Tensor]]:
    for number, result in enumerate(estimate.critics):
        for fold, each in enumerate(result.folds or (result,)):
            for name, tensor in each.frozen.tensors().items():
                yield f"{_CRITIC}.{number}.{fold}.{name}", tensor
    population = estimate.population
    for side, info, size in (("a", estimate.a, population.n_a), ("b", estimate.b, population.n_b)):
        if info.count is None:
            continue
        for fold in range(estimate.folds or 1):
            rows = rows_held_out(info.count, size, folds=estimate.folds, fold=fold, seed=estimate.seed)
            yield f"{_HELD_OUT}.{fold}.{side}", torch.from_numpy(rows)
    if estimate.divergence is not None:
        yield from _tensors_of_divergence(estimate.divergence)
    transport = estimate.transport
    if transport is None:
        return
    coupling, upper = transport.coupling, transport.population_upper
    plan = None if coupling is None else coupling.plan
    if coupling is not None and coupling.potentials is not None:
        yield from _of_potentials(_DUAL, coupling.potentials)
    if upper is not None and len(upper.plans) == 1:
        (plan,) = upper.plans
    elif upper is not None:
        for number, block in enumerate(upper.plans):
            yield from _of_plan(f"{_BLOCK}.{number}", block)
    yield from _of_plan(_PLAN, plan)


def _tensors_of_divergence(found: Divergence) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in found.critic.frozen.tensors().items():
        yield f"{_DIVERGENCE}.{_CRITIC}.{name}", tensor
    if found.evidence.potentials is not None:
        yield from _of_potentials(f"{_DIVERGENCE}.{_DUAL}", found.evidence.potentials)
    yield from _of_plan(f"{_DIVERGENCE}.{_PLAN}", found.evidence.plan)


def _of_potentials(name: str, potentials: tuple[Tensor, Tensor]) -> Iterator[tuple[str, Tensor]]:
    return zip((f"{name}.u", f"{name}.v"), potentials, strict=True)


def _of_plan(name: str, plan: Plan | None) -> Iterator[tuple[str, Tensor]]:
    if plan is not None:
        for part in ("rows", "columns", "mass"):
            yield f"{name}.{part}", torch.from_numpy(getattr(plan, part))


def rows_held_out(count: int, size: int, *, folds: int | None, fold: int, seed: int) -> np.ndarray:
    """The rows that the seed holds out, ascending: those of a fold, or the only part, of the given size."""
    return held_out_rows(count, size, seed=seed) if folds is None else fold_rows(count, folds, fold, seed=seed)


def read_proof(address: str | Path) -> Proof:
    """Reads a proof; whether it proves anything is for :func:`wdist.estimation.verification.verify` to say.

    Arguments:
        address: a file; for one source of a comparison ``FILE:NAME``.

    Raises:
        SourceError: the file is not a proof of wdist, or not whole.
        UsageError: the name is missing or unknown.
    """
    path, metadata, tensors = _contents(address, whole=True)
    with _damages(path):
        number, statement, known = _chosen(address, metadata)
        if strange := [each for each in tensors if each.partition("/")[0] not in known]:
            raise ValueError(f"nothing uses its tensor {min(strange)}")
        prefix = f"{number}/"
        return _read(statement, {each.removeprefix(prefix): part for each, part in tensors.items() if each.startswith(prefix)})


def read_statement(address: str | Path) -> Statement:
    """Reads what a proof claims, without its evidence; arguments and errors as for :func:`read_proof`."""
    path, metadata, _ = _contents(address, whole=False)
    with _damages(path):
        return _chosen(address, metadata)[1]


def _contents(address: str | Path, *, whole: bool) -> tuple[Path, dict[str, str], dict[str, Tensor]]:
    path, _ = file_and_name(address, PROOF_SUFFIX)
    if not path.is_file():
        raise SourceError(f"there is no file {path}; {_WAY_OUT}")
    try:
        metadata, tensors = read_safetensors(path, whole=whole)
    except (SafetensorError, OSError) as error:
        raise SourceError(f"{path} cannot be read as a safetensors file ({error}); {_WAY_OUT}") from error
    if metadata.get("format") != FORMAT:
        raise SourceError(f"{path} is a safetensors file, but no proof that this wdist reads; {_WAY_OUT}")
    return path, metadata, tensors


@contextmanager
def _damages(path: Path) -> Iterator[None]:
    """Turns errors on reading what a file holds into a sentence."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its statement"
        raise SourceError(f"{path} is a damaged proof ({where}: {first['msg']}); {_WAY_OUT}") from error
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise SourceError(f"{path} is a damaged proof ({error}); {_WAY_OUT}") from error


def _chosen(address: str | Path, metadata: dict[str, str]) -> tuple[int, Statement, set[str]]:
    """The statement that an address names, its number, and the numbers of all as text.

    Raises:
        UsageError: the name is missing or unknown.
        ValueError: there is no statement, or it makes no sense.
    """
    path, name = file_and_name(address, PROOF_SUFFIX)
    statements = json.loads(metadata["statements"])
    names = list(statements)
    if not names:
        raise ValueError("it states nothing")
    if name is None and len(names) > 1:
        raise UsageError(f"{path} proves {len(names)} results; name one of {', '.join(names)}: {path}:{names[0]}")
    chosen = names[0] if name is None else name
    if chosen not in names:
        raise UsageError(f"{path} proves nothing about {chosen!r}; name one of {', '.join(names)}")
    statement = Statement.model_validate_json(json.dumps(statements[chosen]))
    return names.index(chosen), statement, {str(each) for each in range(len(names))}


def _read(statement: Statement, tensors: dict[str, Tensor]) -> Proof:
    parts, blocks = _Parts(tensors), 0 if statement.upper is None else statement.upper.blocks
    plan = parts.plan(_PLAN)
    proof = Proof(
        statement=statement,
        critics=tuple(
            tuple(
                FrozenCritic.restored(fold.critic, parts.inside(f"{_CRITIC}.{number}.{which}"))
                for which, fold in enumerate(each.folds)
            )
            for number, each in enumerate(statement.critics)
        ),
        held_out=tuple(
            (parts.numbers(f"{_HELD_OUT}.{fold}.a"), parts.numbers(f"{_HELD_OUT}.{fold}.b")) for fold in range(statement.folds or 1)
        ),
        plan=plan,
        potentials=parts.potentials(_DUAL),
        blocks=(plan,) if blocks == 1 else tuple(parts.plan(f"{_BLOCK}.{number}") for number in range(blocks)),
        divergence=None if statement.divergence is None else _read_divergence(statement.divergence, parts),
    )
    parts.check_that_all_are_used()
    return proof


def _read_divergence(stated: ProvedDivergence, parts: "_Parts") -> tuple[FrozenCritic, DivergenceEvidence]:
    critic = FrozenCritic.restored(stated.critic, parts.inside(f"{_DIVERGENCE}.{_CRITIC}"))
    potentials, plan = parts.potentials(f"{_DIVERGENCE}.{_DUAL}"), parts.plan(f"{_DIVERGENCE}.{_PLAN}")
    return critic, DivergenceEvidence(potentials=potentials, plan=plan)


class _Parts:
    """Tensors of a proof by name, each taken once.

    Every method raises ValueError where a tensor is not what its name promises.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._left = dict(tensors)

    def inside(self, name: str) -> dict[str, Tensor]:
        """All tensors whose names begin with ``name`` and a full stop, without that."""
        found = [each for each in self._left if each.startswith(f"{name}.")]
        return {each.removeprefix(f"{name}."): self._left.pop(each) for each in found}

    def numbers(self, name: str) -> np.ndarray | None:
        """Numbers of rows, int64, shape (k,)."""
        found = self._left.pop(name, None)
        return None if found is None else _checked(found, torch.int64, name)

    def plan(self, name: str) -> Plan | None:
        """A plan whose rows and columns are not negative, and whose masses are positive."""
        parts = self.inside(name)
        if not parts:
            return None
        if parts.keys() != {"rows", "columns", "mass"}:
            raise ValueError(f"{name} is not a plan")
        rows, columns = (_checked(parts[part], torch.int64, name) for part in ("rows", "columns"))
        mass = _checked(parts["mass"], torch.float64, name)
        if not len(rows) == len(columns) == len(mass) > 0:
            raise ValueError(f"the rows, columns and masses of {name} do not match")
        if min(rows.min(), columns.min()) < 0 or not (mass > 0).all():
            raise ValueError(f"{name} holds negative numbers")
        return Plan(rows=rows, columns=columns, mass=mass)

    def potentials(self, name: str) -> tuple[Tensor, Tensor] | None:
        """Dual variables of both sides."""
        parts = self.inside(name)
        if not parts:
            return None
        if parts.keys() != {"u", "v"}:
            raise ValueError(f"{name} does not hold the dual variables of two sides")
        u, v = (torch.from_numpy(_checked(parts[side], torch.float64, name)) for side in "uv")
        return u, v

    def check_that_all_are_used(self) -> None:
        """Makes sure that nothing is left."""
        if self._left:
            raise ValueError(f"nothing uses its tensor {min(self._left)}")


def _checked(tensor: Tensor, dtype: torch.dtype, name: str) -> np.ndarray:
    if tensor.dtype != dtype or tensor.ndim != 1:
        raise ValueError(f"{name} has type {tensor.dtype} and {tensor.ndim} axes")
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name} holds numbers that are not finite")
    found: np.ndarray = tensor.numpy().copy()
    return found
