"""Figure 12: how slowly Björck iterations converge at the beta of Parseval networks.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, figure 12, appendix B.1, equation 8.
    Cisse, Bojanowski, Grave, Dauphin & Usunier (2017), Parseval networks, arXiv:1704.08847.
"""

import torch
from torch import Tensor

from wdist.lipschitz.linalg.orthonormalise import bjorck, safe_scale
from wdist.studies.claim_check import Finding
from wdist.studies.reproduce.experiment import Experiment, Outcome
from wdist.studies.reproduce.reproduction import Comparison, Conditions, Curves, Series

PARSEVAL_BETA = 0.0003
"""Of the paper: "a common choice for Parseval networks"."""
SIZE = 64
ITERATIONS = 40_000
_BETWEEN = 200
"""Iterations between two looks at the singular values."""
_ORTHONORMAL = 0.99


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


def _conduct(conditions: Conditions) -> Outcome:
    W = start_matrix(conditions.seed)
    sigma = torch.linalg.svdvals(W)
    looks = [(0, *extremes(W))]
    for k in range(_BETWEEN, ITERATIONS + 1, _BETWEEN):
        W = bjorck(W, iterations=_BETWEEN, beta=PARSEVAL_BETA)
        looks.append((k, *extremes(W)))
    expected = scalar_recursion(sigma, beta=PARSEVAL_BETA, iterations=ITERATIONS)
    deviation = float((torch.linalg.svdvals(W) - expected).abs().max())
    x = tuple(float(k) for k, _, _ in looks)
    largest, smallest = (tuple(look[i] for look in looks) for i in (1, 2))
    arrival = next((k for k, _, low in looks if low >= _ORTHONORMAL), None)
    fast = bjorck(start_matrix(conditions.seed), iterations=50)
    arrived = f"after {arrival:,}" if arrival is not None else f"not within {ITERATIONS:,}"
    return Outcome(
        settings={
            "matrix": f"{SIZE} x {SIZE}, Gaussian, scaled by equations 9-11",
            "beta": PARSEVAL_BETA,
            "iterations": ITERATIONS,
        },
        comparisons=tuple(
            Comparison(row=f"{name} singular value", column=f"after {k:,} iterations", ours=values[k // _BETWEEN])
            for k in (0, 1_000, 10_000, 20_000, ITERATIONS)
            for name, values in (("largest", largest), ("smallest", smallest))
        ),
        findings=(
            Finding(
                claim="When beta is small the algorithm still converges to an orthonormal matrix but much more slowly.",
                holds=smallest[-1] >= _ORTHONORMAL and extremes(fast)[1] >= _ORTHONORMAL,
                detail=f"the smallest singular value reaches {_ORTHONORMAL} {arrived} iterations; at beta 0.5, within 50",
            ),
            Finding(
                claim="Every singular value follows s <- (1 + beta) s - beta s^3 (equation 8).",
                holds=deviation < 1e-9,
                detail=f"largest deviation from that recursion after {ITERATIONS:,} iterations: {deviation:.1e}",
            ),
        ),
        panels=(
            Curves(
                title=f"Björck iterations at beta = {PARSEVAL_BETA}",
                x_label="iteration",
                y_label="singular value",
                series=(Series(name="largest", x=x, y=largest), Series(name="smallest", x=x, y=smallest)),
            ),
        ),
        remarks=("The paper states no numbers for this figure, nor the matrix; ours is a Gaussian one.",),
    )


EXPERIMENT = Experiment(
    name="figure12",
    title="Convergence of Björck at beta = 0.0003",
    source="figure 12, appendix B.1",
    conduct=_conduct,
    operations=lambda quick: ITERATIONS * 4.0 * SIZE**3 * 2,
)
