"""Lipschitz bounds of random networks, as shares of the product of norms, by depth and width.

For networks of one hidden layer with no more units than inputs the constant is known: every pattern of slopes occurs, so it is
the largest norm over all patterns. The other networks have the sizes of ECLipsE's random networks; those called ``eclipse`` are
the same networks, drawn again from the seeds that its authors publish with their code (github.com/YuezhuXu/ECLipsE).

References:
    Fazlyab, Robey, Hassani, Morari & Pappas (2019), Efficient and accurate estimation of Lipschitz constants for deep neural
        networks, arXiv:1906.04893.
    Xu & Sivaranjani (2024), ECLipsE: efficient compositional Lipschitz constant estimation for deep neural networks,
        arXiv:2404.04375.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from wdist.bounds.lipschitz.network import Dense, Network, steps
from wdist.bounds.lipschitz.reading import read_network
from wdist.bounds.lipschitz.search import network_slope
from wdist.bounds.lipschitz.semidefinite import semidefinite_bound
from wdist.bounds.lipschitz.upper import AVERAGED, PRODUCT, SEMIDEFINITE, lipschitz_upper
from wdist.ground_metric import L2
from wdist.studies.panels import Panel, series_of
from wdist.studies.study import ClaimCheck, Column, Conclusion, Conditions, Study, StudyTable

_INPUTS, _OUTPUTS = 8, 3
_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}
DEPTHS, WIDTHS = (2, 5, 10, 20, 50), (20, 40, 80)
QUICK_DEPTHS, QUICK_WIDTHS = (2, 5, 10), (10, 20)
ECLIPSE = "eclipse"
_ECLIPSE_ENDS, _ECLIPSE_NORMS = (4, 1), (0.4, 1.8)
"""Inputs and outputs of ECLipsE's networks, and the range from which the norm of each matrix is drawn."""
EXACT_UNITS = (4, 6, 8)
"""Hidden units of the networks whose constant is found by enumeration."""
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class LipschitzRow:
    """Bounds of one random network."""

    name: str
    activation: str
    depth: int
    """Number of linear layers."""
    width: int
    seed: int
    product: float
    averaged: float
    fast: float | None
    """Proved bound of ECLipsE-Fast, a closed form that starts the search for the semidefinite bound; None if its proof fails."""
    semidefinite: float
    found: float
    """Largest slope that a search found."""
    exact: float | None
    """The constant; None if it is not known."""
    seconds: float
    """Seconds for all upper bounds."""

    @property
    def gap(self) -> float:
        """Best proved bound over the constant, or over the largest slope found if the constant is not known."""
        return min(self.product, self.averaged, self.semidefinite) / (self.exact or self.found)


def random_network(widths: Sequence[int], activation: str, seed: int) -> nn.Sequential:
    """A network with normal weights of variance 1 / fan-in and standard normal biases."""
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        linear = nn.Linear(before, after, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.randn(after, before, generator=generator) / math.sqrt(before))
            linear.bias.copy_(torch.randn(after, generator=generator))
        layers += [linear, _ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


def eclipse_network(depth: int, width: int) -> nn.Sequential:
    """One of ECLipsE's random networks: normal matrices, scaled to random norms, from a seed that depends on the sizes."""
    random, inputs = np.random.RandomState(_eclipse_seed(depth, width)), _ECLIPSE_ENDS[0]
    layers: list[nn.Module] = []
    for outputs in (*[width] * (depth - 1), _ECLIPSE_ENDS[1]):
        norm = random.uniform(*_ECLIPSE_NORMS)
        W = random.randn(outputs, inputs)
        linear = nn.Linear(inputs, outputs, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(norm * W / np.linalg.norm(W, 2)))
        layers += [linear, nn.ReLU()]
        inputs = outputs
    return nn.Sequential(*layers[:-1])


def _eclipse_seed(depth: int, width: int) -> int:
    return 7 * width + 13 * depth


@torch.no_grad()
def exact_constant(network: nn.Sequential) -> float:
    """Constant of a network with one hidden layer of ReLUs and independent rows: the largest norm over all patterns of slopes."""
    first, last = (layer.weight for layer in network if isinstance(layer, nn.Linear))
    patterns = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * len(first))
    return float(torch.linalg.matrix_norm(last[None] * patterns[:, None] @ first, 2).max())


def _measure(conditions: Conditions) -> Iterator[LipschitzRow]:
    depths, widths = (QUICK_DEPTHS, QUICK_WIDTHS) if conditions.quick else (DEPTHS, WIDTHS)
    cases = [("exact", "relu", 2, units) for units in EXACT_UNITS]
    cases += [(kind, kind, depth, width) for kind in _ACTIVATIONS for width in widths for depth in depths]
    cases += [(ECLIPSE, "relu", depth, width) for width in widths for depth in depths]
    for kind, activation, depth, width in cases:
        name = f"{kind} {depth}x{width}"
        if not conditions.wanted(name):
            continue
        for seed in (_eclipse_seed(depth, width),) if kind == ECLIPSE else conditions.seeds:
            measured = partial(_row, name, activation, depth, width, seed)
            yield conditions.row(f"{name} {seed}", measured, what=f"{name}, seed {seed}")


def _row(name: str, activation: str, depth: int, width: int, seed: int) -> LipschitzRow:
    eclipse = name.startswith(ECLIPSE)
    sizes = [_INPUTS, *[width] * (depth - 1), _OUTPUTS]
    module = eclipse_network(depth, width) if eclipse else random_network(sizes, activation, seed)
    began = time.perf_counter()
    network = read_network(module)
    bounds = lipschitz_upper(network).bounds
    seconds = time.perf_counter() - began
    return LipschitzRow(
        name=name,
        activation=activation,
        depth=depth,
        width=width,
        seed=seed,
        product=bounds[PRODUCT],
        averaged=bounds[AVERAGED],
        fast=_closed_form(network),
        semidefinite=bounds[SEMIDEFINITE],
        found=network_slope(module, (_ECLIPSE_ENDS[0] if eclipse else _INPUTS,), L2, seed=seed),
        exact=exact_constant(module) if name.startswith("exact") else None,
        seconds=seconds,
    )


def _closed_form(network: Network) -> float | None:
    """The semidefinite bound without a search."""
    (step,) = steps(network)
    assert isinstance(step, Dense)
    found = semidefinite_bound(step.layers, work=0.0)
    return None if found is None else found[0]


def conclude(rows: Sequence[LipschitzRow]) -> Conclusion:
    """Checks that no bound is on the wrong side, and draws bounds over the product by depth."""
    ends = [(min(row.product, row.averaged, row.semidefinite), max(row.found, row.exact or 0.0)) for row in rows]
    wrong = sum(upper < lower * (1 - _ROUNDING) for upper, lower in ends)
    known = [(row, row.exact) for row in rows if row.exact is not None]
    missed = sum(row.found > exact * (1 + _ROUNDING) for row, exact in known)
    checks = [
        ClaimCheck(claim="No bound is below a slope or a known constant.", holds=wrong == 0, detail=f"{wrong} of {len(rows)} are"),
    ]
    if known:
        worst = max(row.gap for row, _ in known)
        detail = f"{missed} of {len(known)} searches exceed it; the largest bound is {worst:.3f} times it"
        checks.append(ClaimCheck(claim="No search exceeds a known constant.", holds=missed == 0, detail=detail))
    deep = [row for row in rows if row.exact is None]
    return Conclusion(
        checks=tuple(checks),
        panels=tuple(
            _panel(kind, part) for kind in (*_ACTIVATIONS, ECLIPSE) if (part := [row for row in deep if row.name.startswith(kind)])
        ),
        remarks=(
            "Shares are of the product of norms; the gap is the best bound over the constant or else over the largest slope found.",
        ),
    )


def _panel(kind: str, rows: Sequence[LipschitzRow]) -> Panel:
    return Panel(
        title=f"random networks, {kind}",
        x_label="linear layers",
        y_label="semidefinite bound over the product",
        series=series_of(
            rows,
            name=lambda row: f"width {row.width}",
            x="depth",
            y=_over_product("semidefinite"),
            marks=len({row.seed for row in rows}) > 1,
        ),
        log_y=True,
    )


def _over_product(bound: str) -> Callable[[LipschitzRow], float | None]:
    """A bound of a row as a share of the product of norms; None if the row lacks it."""
    return lambda row: None if getattr(row, bound) is None else getattr(row, bound) / row.product


STUDY = Study(
    name="lipschitz",
    title="Lipschitz bounds of random networks",
    measure=_measure,
    divisible=True,
    conclude=conclude,
    tables=(
        StudyTable(
            "bounds from above",
            LipschitzRow,
            Column("network", "name"),
            Column("product"),
            Column("averaged", _over_product("averaged"), "share"),
            Column("ECLipsE-\nFast", _over_product("fast"), "share"),
            Column("LipSDP", _over_product("semidefinite"), "share"),
            Column("bound", "semidefinite"),
            *Column.named("found", "exact", "gap"),
        ),
    ),
    seeds=3,
    reduced=("depths up to 10 instead of 50 and widths up to 20 instead of 80", "one seed instead of three"),
)
