"""Figures 12 and 13: how fast Björck iterations converge, depending on beta.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, figures 12 and 13, appendix B.1, equation 8.
    Cisse, Bojanowski, Grave, Dauphin & Usunier (2017), Parseval networks, arXiv:1704.08847.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from wdist.lipschitz.linalg.orthonormalise import bjorck, safe_scale
from wdist.studies.panels import Panel, Series
from wdist.studies.study import ClaimCheck, Conclusion, Conditions, ReproducedNumber, Study

PARSEVAL_BETA = 0.0003
"""From the paper: "a common choice for Parseval networks"."""
LARGEST_BETA = 0.5
SIZE = 64
ITERATIONS = 40_000
FEW_ITERATIONS = 50
"""From the paper, for figure 13."""
_BETWEEN = 200
"""Iterations between two looks at the singular values."""
_ORTHONORMAL = 0.99
_BETAS = 40
_SHOWN = (PARSEVAL_BETA, 0.01, 0.05, 0.1, 0.2, LARGEST_BETA)
_MATRIX = f"{SIZE} x {SIZE}, Gaussian, scaled by equations 9-11"
_REMARKS = ("The paper states no numbers for this figure, nor the matrix; ours is a Gaussian one.",)


def start_matrix(seed: int) -> Tensor:
    """A square Gaussian matrix in float64, scaled by equations 9-11 so that the iterations converge."""
    W = torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return W / safe_scale(W)


def scalar_recursion(sigma: Tensor, *, beta: float, iterations: int) -> Tensor:
    r"""The same iterations on singular values alone: :math:`\sigma \leftarrow (1 + \beta)\sigma - \beta\sigma^3`."""
    for _ in range(iterations):
        sigma = (1 + beta) * sigma - beta * sigma**3
    return sigma


def extremes(W: Tensor) -> tuple[float, float]:
    """The largest and the smallest singular value."""
    sigma = torch.linalg.svdvals(W)
    return float(sigma[0]), float(sigma[-1])


def _recursion_check(deviation: float) -> ClaimCheck:
    return ClaimCheck(
        claim="Every singular value follows s <- (1 + beta) s - beta s^3 (equation 8).",
        holds=deviation < 1e-9,
        detail=f"largest deviation from that recursion: {deviation:.1e}",
    )


def _series(x: list[float], looks: list[tuple[float, float]]) -> tuple[Series, ...]:
    return tuple(
        Series(name=name, x=tuple(x), y=tuple(look[i] for look in looks)) for i, name in enumerate(("largest", "smallest"))
    )


def _over_iterations(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    W = start_matrix(conditions.seed)
    sigma, looks = torch.linalg.svdvals(W), [extremes(W)]
    for _ in range(_BETWEEN, ITERATIONS + 1, _BETWEEN):
        W = bjorck(W, iterations=_BETWEEN, beta=PARSEVAL_BETA)
        looks.append(extremes(W))
    for k in (0, 1_000, 10_000, 20_000, ITERATIONS):
        for name, value in zip(("largest", "smallest"), looks[k // _BETWEEN], strict=True):
            yield ReproducedNumber(row=f"{name} singular value", column=f"after {k:,} iterations", ours=value)
    expected = scalar_recursion(sigma, beta=PARSEVAL_BETA, iterations=ITERATIONS)
    arrival = next((_BETWEEN * i for i, (_, smallest) in enumerate(looks) if smallest >= _ORTHONORMAL), None)
    arrived = f"after {arrival:,}" if arrival is not None else f"not within {ITERATIONS:,}"
    fast = bjorck(start_matrix(conditions.seed), iterations=FEW_ITERATIONS)
    yield Conclusion(
        settings={"matrix": _MATRIX, "beta": PARSEVAL_BETA, "iterations": ITERATIONS},
        checks=(
            ClaimCheck(
                claim="When beta is small, the algorithm still converges to an orthonormal matrix, but much more slowly.",
                holds=looks[-1][1] >= _ORTHONORMAL and extremes(fast)[1] >= _ORTHONORMAL,
                detail=f"the smallest singular value reaches {_ORTHONORMAL} {arrived} iterations; at beta 0.5, within 50",
            ),
            _recursion_check(float((torch.linalg.svdvals(W) - expected).abs().max())),
        ),
        panels=(
            Panel(
                title=f"Björck iterations at beta = {PARSEVAL_BETA}",
                x_label="iteration",
                y_label="singular value",
                series=_series([float(_BETWEEN * i) for i in range(len(looks))], looks),
            ),
        ),
        remarks=_REMARKS,
    )


def _over_beta(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    W = start_matrix(conditions.seed)
    grid = torch.logspace(math.log10(PARSEVAL_BETA), math.log10(LARGEST_BETA), _BETAS)
    betas = sorted({*_SHOWN, *(float(beta) for beta in grid[1:-1])})
    found = {beta: extremes(bjorck(W, iterations=FEW_ITERATIONS, beta=beta)) for beta in betas}
    for beta in _SHOWN:
        for name, value in zip(("largest", "smallest"), found[beta], strict=True):
            yield ReproducedNumber(row=f"{name} singular value", column=f"beta {beta:g}", ours=value)
    sigma, deviation = torch.linalg.svdvals(W), 0.0
    for beta, (largest, smallest) in found.items():
        expected = scalar_recursion(sigma, beta=beta, iterations=FEW_ITERATIONS)
        deviation = max(deviation, abs(largest - float(expected.max())), abs(smallest - float(expected.min())))
    slowest, fastest = found[PARSEVAL_BETA][1], found[LARGEST_BETA][1]
    yield Conclusion(
        settings={"matrix": _MATRIX, "iterations": FEW_ITERATIONS},
        checks=(
            ClaimCheck(
                claim="When beta is much smaller than 0.5, the matrices may be far from orthonormal.",
                holds=slowest < 0.5 < _ORTHONORMAL < fastest,
                detail=f"smallest singular value {slowest:.4f} at beta {PARSEVAL_BETA}, {fastest:.4f} at beta {LARGEST_BETA}",
            ),
            _recursion_check(deviation),
        ),
        panels=(
            Panel(
                title=f"after {FEW_ITERATIONS} Björck iterations",
                x_label="beta",
                y_label="singular value",
                series=_series(betas, [found[beta] for beta in betas]),
                log_x=True,
            ),
        ),
        remarks=_REMARKS,
    )


STUDIES = (
    Study(
        name="figure12",
        title="Convergence of Björck at beta = 0.0003",
        source="figure 12, appendix B.1",
        measure=_over_iterations,
        operations=lambda quick: ITERATIONS * 4.0 * SIZE**3 * 2,
    ),
    Study(
        name="figure13",
        title="Convergence of Björck for different beta",
        source="figure 13, appendix B.1",
        measure=_over_beta,
        operations=lambda quick: (_BETAS + len(_SHOWN)) * FEW_ITERATIONS * 4.0 * SIZE**3 * 4,
    ),
)
