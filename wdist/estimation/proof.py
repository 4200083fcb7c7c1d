"""Proofs: everything needed to recompute the bounds of an estimate, in one safetensors file (guide page ``proofs``)."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import save  # that of torch refuses tensors that share memory
from torch import Tensor

from wdist.critics.frozen import FrozenCritic
from wdist.data.measure import fold_rows, held_out_rows
from wdist.data.sources.address import file_and_name
from wdist.errors import SourceError, UsageError
from wdist.estimation.divergence import Divergence, DivergenceEvidence
from wdist.estimation.result import Estimate
from wdist.estimation.statement import ProvedDivergence, Statement, statement_of
from wdist.files import PROOF_SUFFIX, atomic_write, read_safetensors
from wdist.transport.coupling import Plan

FORMAT = "wdist-proof-1"
_WAY_OUT = "give a file that --save-proof wrote"
_PLAN, _DUAL, _HELD_OUT, _BLOCK, _CRITIC, _DIVERGENCE = "plan", "dual", "held-out", "block", "critic", "divergence"
"""Prefixes of tensor names."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Proof:
    """A statement with its evidence."""

    statement: Statement
    critics: tuple[tuple[FrozenCritic, ...], ...]
    """Critics of each fold, in the order of the statement."""
    held_out: tuple[tuple[np.ndarray | None, np.ndarray | None], ...]
    """Rows of each side behind the lower bounds for the populations, ascending, for each fold; None for an endless source."""
    plan: Plan | None
    """Plan between all samples, for the upper bound."""
    potentials: tuple[Tensor, Tensor] | None
    """Dual variables of all samples, shapes (n,) and (m,), in the units of the data, for the lower bound."""
    blocks: tuple[Plan | None, ...]
    """Plans for the upper bound for the populations, between positions in a block; a single block holds all samples in order."""
    divergence: tuple[FrozenCritic, DivergenceEvidence] | None
    """Critic of the divergence, with the other evidence for its bounds for the samples."""

    @property
    def frozen(self) -> Iterator[FrozenCritic]:
        """Every critic."""
        yield from (critic for folds in self.critics for critic in folds)
        if self.divergence is not None:
            yield self.divergence[0]


def save_proof(estimate: Estimate, path: str | Path) -> None:
    """Saves the proof of an estimate atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    atomic_write(Path(path), proof_of_estimate(estimate))


def proof_of_estimate(estimate: Estimate) -> bytes:
    """The proof of one estimate, as the bytes of a safetensors file."""
    return serialise_proofs({"": estimate})


def serialise_proofs(estimates: Mapping[str, Estimate]) -> bytes:
    """The proofs of one or more estimates, by name, as the bytes of one safetensors file."""
    statements = {name: statement_of(estimate).model_dump(by_alias=True) for name, estimate in estimates.items()}
    tensors = {
        f"{number}/{name}": np.ascontiguousarray(tensor)
        for number, estimate in enumerate(estimates.values())
        for name, tensor in _tensors(estimate)
    }
    return save(tensors, metadata={"format": FORMAT, "statements": json.dumps(statements)})


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
    """The rows that the seed holds out, ascending: those of a fold, or without folds a single part of the given size."""
    return held_out_rows(count, size, seed=seed) if folds is None else fold_rows(count, folds, fold, seed=seed)


def read_proof(address: str | Path) -> Proof:
    """Reads a proof without checking its claims, which :func:`wdist.estimation.verification.verify` does.

    Arguments:
        address: a file, or ``FILE:NAME`` for one source of a comparison.

    Raises:
        SourceError: the file is not a proof of wdist, or it is damaged.
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
    """Reads the claims of a proof without its evidence; arguments and errors as for :func:`read_proof`."""
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
        raise SourceError(f"{path} is a safetensors file, but not a proof that this version of wdist reads; {_WAY_OUT}")
    return path, metadata, tensors


@contextmanager
def _damages(path: Path) -> Iterator[None]:
    """Turns errors while reading the contents of a file into a SourceError."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its statement"
        raise SourceError(f"{path} is a damaged proof ({where}: {first['msg']}); {_WAY_OUT}") from error
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise SourceError(f"{path} is a damaged proof ({error}); {_WAY_OUT}") from error


def _chosen(address: str | Path, metadata: dict[str, str]) -> tuple[int, Statement, set[str]]:
    """The number and the statement that an address names, and the numbers of all statements as text.

    Raises:
        UsageError: the name is missing or unknown.
        ValueError: there is no statement, or it is invalid.
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
        way_out = f"leave out :{chosen}" if names == [""] else f"name one of {', '.join(names)}"
        raise UsageError(f"{path} proves nothing about {chosen!r}; {way_out}")
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
    """Tensors of a proof by name, each of which can be taken once.

    Every method raises ValueError if a tensor does not have the form that its name implies.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._left = dict(tensors)

    def inside(self, name: str) -> dict[str, Tensor]:
        """Takes all tensors whose names begin with ``name`` and a full stop, which are removed from the names."""
        found = [each for each in self._left if each.startswith(f"{name}.")]
        return {each.removeprefix(f"{name}."): self._left.pop(each) for each in found}

    def numbers(self, name: str) -> np.ndarray | None:
        """Takes row numbers, int64, shape (k,)."""
        found = self._left.pop(name, None)
        return None if found is None else _checked(found, torch.int64, name)

    def plan(self, name: str) -> Plan | None:
        """Takes a plan, and checks that its rows and columns are not negative and its masses are positive."""
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
        """Takes the dual variables of both sides."""
        parts = self.inside(name)
        if not parts:
            return None
        if parts.keys() != {"u", "v"}:
            raise ValueError(f"{name} does not hold the dual variables of two sides")
        u, v = (torch.from_numpy(_checked(parts[side], torch.float64, name)) for side in "uv")
        return u, v

    def check_that_all_are_used(self) -> None:
        """Checks that no tensor is left."""
        if self._left:
            raise ValueError(f"nothing uses its tensor {min(self._left)}")


def _checked(tensor: Tensor, dtype: torch.dtype, name: str) -> np.ndarray:
    if tensor.dtype != dtype or tensor.ndim != 1:
        raise ValueError(f"{name} has type {tensor.dtype} and {tensor.ndim} axes")
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name} holds numbers that are not finite")
    found: np.ndarray = tensor.numpy().copy()
    return found
