"""Björck iterations: their convergence (figures 12 and 13), training with them or with spectral normalisation (figure 14), and
products with a vector (table 3).

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, figures 12 to 14, table 3, appendix B, equation 8.
    Cisse, Bojanowski, Grave, Dauphin & Usunier (2017), Parseval networks, arXiv:1704.08847.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from wdist.data.sources.pairs import sphere
from wdist.environment import choose_device
from wdist.estimation.result import CriticResult
from wdist.lipschitz.linalg.orthonormalise import bjorck, bjorck_product, safe_scale
from wdist.studies.panels import Panel, Series, curves, series_of
from wdist.studies.reproduce.approximation import BothSizes, Sizes, trained
from wdist.studies.study import ClaimCheck, Conclusion, Conditions, ReproducedNumber, Study

PARSEVAL_BETA = 0.0003
"""From the paper: "a common choice for Parseval networks"."""
LARGEST_BETA = 0.5
SIZE = 64
ITERATIONS = 40_000
FEW_ITERATIONS = 50
"""From the paper, for figure 13."""
_BETWEEN = 200  # iterations between two computations of the singular values
_ORTHONORMAL = 0.99
_BETAS = 40
_SHOWN = (PARSEVAL_BETA, 0.01, 0.05, 0.1, 0.2, LARGEST_BETA)
_MATRIX = f"{SIZE} x {SIZE}, Gaussian, scaled by equations 9-11"
_REMARKS = ("The paper gives neither numbers nor the matrix for this figure; ours is Gaussian.",)


def start_matrix(seed: int) -> Tensor:
    """A square Gaussian matrix in float64, scaled by equations 9-11 so that the iterations converge."""
    W = torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return W / safe_scale(W)


def scalar_recursion(sigma: Tensor, *, beta: float, iterations: int) -> Tensor:
    r"""Björck iterations on the singular values alone: :math:`\sigma \leftarrow (1 + \beta)\sigma - \beta\sigma^3`."""
    for _ in range(iterations):
        sigma = (1 + beta) * sigma - beta * sigma**3
    return sigma


def extremes(W: Tensor) -> tuple[float, float]:
    """The largest and the smallest singular value."""
    sigma = torch.linalg.svdvals(W)
    return float(sigma[0]), float(sigma[-1])


def _recursion_check(deviation: float) -> ClaimCheck:
    claim = "Every singular value follows s <- (1 + beta) s - beta s^3 (equation 8)."
    return ClaimCheck(claim=claim, holds=deviation < 1e-9, detail=f"largest deviation from that recursion: {deviation:.1e}")


def _numbers(column: str, look: tuple[float, float]) -> Iterator[ReproducedNumber]:
    for name, value in zip(("largest", "smallest"), look, strict=True):
        yield ReproducedNumber(row=f"{name} singular value", column=column, ours=value)


def _extreme_curves(x: Iterable[float], looks: list[tuple[float, float]]) -> tuple[Series, ...]:
    return curves(x, dict(zip(("largest", "smallest"), zip(*looks, strict=True), strict=True)))


def _over_iterations(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    W = start_matrix(conditions.seed)
    sigma, looks = torch.linalg.svdvals(W), [extremes(W)]
    for _ in range(_BETWEEN, ITERATIONS + 1, _BETWEEN):
        W = bjorck(W, iterations=_BETWEEN, beta=PARSEVAL_BETA)
        looks.append(extremes(W))
    for k in (0, 1_000, 10_000, 20_000, ITERATIONS):
        yield from _numbers(f"after {k:,} iterations", looks[k // _BETWEEN])
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
                series=_extreme_curves(range(0, ITERATIONS + 1, _BETWEEN), looks),
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
        yield from _numbers(f"beta {beta:g}", found[beta])
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
                series=_extreme_curves(betas, [found[beta] for beta in betas]),
                log_x=True,
            ),
        ),
        remarks=_REMARKS,
    )


DIMENSIONS = (128, 256, 512)
LEARNING_RATES = {"spectral": 0.0033, "bjorck": 0.003}
"""Learning rates of Adam; the first is the paper's. Its 0.01 for Björck is for weights whose norm may grow; ours stay orthonormal,
and with 0.01 the dual value would fall after about 500 steps."""
TRAINING = BothSizes(
    full=Sizes(width=512, batch_size=512, optimizer="adam", steps=2000),
    quick=Sizes(width=512, batch_size=128, optimizer="adam", steps=160),
)
"""Width and depth of figure 14 are the paper's."""
_TITLES = {"spectral": "spectral norm", "bjorck": "Björck"}


def steps_to(result: CriticResult, value: float) -> int | None:
    """First validated step at which a critic reaches a value; None if it never does."""
    return next((point.step for point in result.history if point.validation >= value), None)


def _over_training(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    sizes, found = TRAINING.sizes(conditions.quick), {}
    shared = replace(sizes.settings("maxmin"), schedule="constant")
    critics = {
        (constraint, dim): replace(shared, constraint=constraint, learning_rate=rate)
        for constraint, rate in LEARNING_RATES.items()
        for dim in DIMENSIONS
    }
    for (constraint, dim), result in trained(
        critics,
        conditions,
        steps=sizes.steps,
        label=lambda key: f"{_TITLES[key[0]]}, dimension {key[1]}",
        pair=lambda key: sphere(key[1]),
    ):
        found[constraint, dim] = result
        column = f"dimension {dim}, end of training"
        yield ReproducedNumber(row=_TITLES[constraint], column=column, ours=result.population.estimate)
    yield Conclusion(
        settings={
            "width": sizes.width,
            "hidden layers": sizes.depth - 1,
            "activation": "MaxMin",
            "optimizer": sizes.optimizer,
            "learning rates": ", ".join(f"{_TITLES[name]} {rate}" for name, rate in LEARNING_RATES.items()),
            "batch size": sizes.batch_size,
            "steps": sizes.steps,
        },
        checks=_training_checks(found),
        panels=tuple(
            Panel(
                title=f"dimension {dim}",
                x_label="step",
                y_label="validation dual value",
                series=series_of(
                    ((constraint, point) for constraint in _TITLES for point in found[constraint, dim].history),
                    name=lambda each: _TITLES[each[0]],
                    x=lambda each: each[1].step,
                    y=lambda each: each[1].validation,
                ),
            )
            for dim in DIMENSIONS
        ),
        remarks=(
            "The paper gives no numbers, activation, batch size or steps for this figure; the truth is 1.",
            "The paper's Björck layers iterate in every forward pass; ours follow tangent gradients and return to the constraint "
            "every few steps, which also gives orthonormal weights.",
            "The paper's learning rate of 0.01 for Björck is too large for weights of constant norm, so ours is 0.003.",
        ),
    )


def _training_checks(found: dict[tuple[str, int], CriticResult]) -> tuple[ClaimCheck, ...]:
    final = {key: result.population.estimate for key, result in found.items()}
    gaps = [final["bjorck", dim] - final["spectral", dim] for dim in DIMENSIONS]
    speed = {dim: steps_to(found["bjorck", dim], final["spectral", dim]) for dim in DIMENSIONS}
    ends = {dim: found["spectral", dim].steps for dim in DIMENSIONS}
    return (
        ClaimCheck(
            claim="Björck approximates high-dimensional cones better than spectral normalisation.",
            holds=all(gap > 0 for gap in gaps),
            detail="by " + ", ".join(f"{gap:.3f} in dimension {dim}" for dim, gap in zip(DIMENSIONS, gaps, strict=True)),
        ),
        ClaimCheck(
            claim="It converges in far fewer training iterations.",
            holds=all(steps is not None and steps <= ends[dim] / 2 for dim, steps in speed.items()),
            detail="; ".join(
                f"dimension {dim}: at step {steps:,} it passes the value of spectral normalisation at step {ends[dim]:,}"
                if steps is not None
                else f"dimension {dim}: it never passes the last value of spectral normalisation"
                for dim, steps in speed.items()
            ),
        ),
        ClaimCheck(
            claim="The gap between the two grows with the dimension.",
            holds=gaps[0] < gaps[-1],
            detail=f"{gaps[0]:.3f} in dimension {DIMENSIONS[0]}, {gaps[-1]:.3f} in dimension {DIMENSIONS[-1]}",
        ),
    )


FULL_SECONDS = {1: 0.020, 2: 0.039, 3: 0.059, 5: 0.095, 10: 0.21}
"""Table 3, first line: iterations -> seconds for the whole 1000 x 1000 matrix."""
PRODUCT_SECONDS = {1: 0.0002, 2: 0.0005, 3: 0.0011, 5: 0.012, 10: 2.88}
"""Table 3, second line: iterations -> seconds for the product with one vector."""
SPEEDUP = {1: 99.98, 2: 78.59, 3: 53.56, 5: 7.77, 10: 0.07}
"""Table 3, third line: iterations -> speed-up."""
TABLE_SIZE, RUNS = 1000, 10
QUICK_SIZE, QUICK_RUNS = 500, 2


def _products(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    size, runs = (QUICK_SIZE, QUICK_RUNS) if conditions.quick else (TABLE_SIZE, RUNS)
    device = choose_device(conditions.device)
    generator = torch.Generator().manual_seed(conditions.seed)
    W, v = torch.randn(size, size, generator=generator), torch.randn(size, generator=generator)
    W, v = (W / safe_scale(W)).to(device), v.to(device)
    speedups, deviation = {}, 0.0
    for k in SPEEDUP:
        conditions.announce(f"{k} iterations, {runs} runs")

        def whole(iterations: int = k) -> Tensor:
            return bjorck(W, iterations=iterations) @ v

        def product(iterations: int = k) -> Tensor:
            return bjorck_product(W, v, iterations)

        deviation = max(deviation, float(torch.linalg.vector_norm(whole() - product()) / torch.linalg.vector_norm(v)))
        full_seconds, product_seconds = _seconds(whole, runs), _seconds(product, runs)
        speedups[k] = full_seconds / product_seconds
        column = f"{k} iterations" if k > 1 else "1 iteration"
        yield ReproducedNumber(row="whole matrix", column=column, ours=full_seconds, paper=FULL_SECONDS[k], unit="s")
        yield ReproducedNumber(row="matrix-vector", column=column, ours=product_seconds, paper=PRODUCT_SECONDS[k], unit="s")
        yield ReproducedNumber(row="speed-up", column=column, ours=speedups[k], paper=SPEEDUP[k], unit="x")
    yield Conclusion(
        settings={"matrix": f"{size} x {size}, float32, scaled by equations 9-11", "runs": runs, "vectors": 1},
        checks=(
            ClaimCheck(
                claim="The matrix-vector form works very well for fewer than about 5 iterations but scales poorly.",
                holds=speedups[1] > speedups[3] > 1 > speedups[10],
                detail=", ".join(f"{k}: {speedup:.3g}x" for k, speedup in speedups.items()),
            ),
            ClaimCheck(
                claim="Both forms compute the same product.",
                holds=deviation < 1e-3,
                detail=f"largest difference, relative to the vector's length: {deviation:.1e}",
            ),
        ),
        panels=(
            Panel(
                title=f"speed-up of matrix-vector Björck, {size} x {size}",
                x_label="iterations",
                y_label="speed-up, powers of 10",
                series=curves(
                    SPEEDUP,
                    {"here": map(math.log10, speedups.values()), "paper": map(math.log10, SPEEDUP.values())},
                    reference=("paper",),
                ),
            ),
        ),
        remarks=("Seconds depend on the machine, and the paper does not describe its own; compare the speed-up.",),
    )


def _seconds(product: Callable[[], Tensor], runs: int) -> float:
    """Mean seconds of one run of a product that has run before."""
    began = time.perf_counter()
    for _ in range(runs):
        float(product()[0])  # waits for the device
    return (time.perf_counter() - began) / runs


def _product_operations(quick: bool) -> float:
    size, runs = (QUICK_SIZE, QUICK_RUNS) if quick else (TABLE_SIZE, RUNS)
    # A product with a vector is limited by memory, and runs at about a tenth of the speed of a product of matrices.
    return (runs + 1) * sum(4.0 * size**3 * k + 10 * 3.0**k * 2 * size**2 for k in SPEEDUP)


FIGURE12 = Study(
    name="figure12",
    title="Convergence of Björck at beta = 0.0003",
    source="figure 12, appendix B.1",
    measure=_over_iterations,
    operations=lambda quick: ITERATIONS * 4.0 * SIZE**3 * 2,
)
FIGURE13 = Study(
    name="figure13",
    title="Convergence of Björck for different beta",
    source="figure 13, appendix B.1",
    measure=_over_beta,
    operations=lambda quick: (_BETAS + len(_SHOWN)) * FEW_ITERATIONS * 4.0 * SIZE**3 * 4,
)
FIGURE14 = Study(
    name="figure14",
    title="Björck against spectral normalisation over training",
    source="figure 14, appendix B.2",
    measure=_over_training,
    operations=lambda quick: len(_TITLES) * sum(TRAINING.sizes(quick).operations(dim) for dim in DIMENSIONS),
    reduced=TRAINING.reduced,
)
TABLE3 = Study(
    name="table3",
    title="Runtime of matrix-vector Björck",
    source="table 3, appendix B.4",
    measure=_products,
    operations=_product_operations,
    reduced=(
        f"matrix {QUICK_SIZE} x {QUICK_SIZE} instead of {TABLE_SIZE} x {TABLE_SIZE}",
        f"{QUICK_RUNS} runs instead of {RUNS}",
    ),
)
