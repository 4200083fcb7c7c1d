"""Table 3: Björck iterations written as matrix-vector products against iterations on the whole matrix.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, table 3, appendix B.4.
"""

import math
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from wdist.environment import choose_device
from wdist.lipschitz.linalg.orthonormalise import bjorck, bjorck_product, safe_scale
from wdist.studies.panels import Panel, Series
from wdist.studies.study import ClaimCheck, Conclusion, Conditions, ReproducedNumber, Study
from wdist.training.observer import Stage

FULL_SECONDS = {1: 0.020, 2: 0.039, 3: 0.059, 5: 0.095, 10: 0.21}
"""Table 3, first line: iterations -> seconds for the whole 1000 x 1000 matrix."""
PRODUCT_SECONDS = {1: 0.0002, 2: 0.0005, 3: 0.0011, 5: 0.012, 10: 2.88}
"""Table 3, second line: iterations -> seconds for the product with one vector."""
SPEEDUP = {1: 99.98, 2: 78.59, 3: 53.56, 5: 7.77, 10: 0.07}
"""Table 3, third line."""
SIZE = 1000
RUNS = 10
_QUICK_SIZE = 500
_QUICK_RUNS = 2


def _measure(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    size, runs = (_QUICK_SIZE, _QUICK_RUNS) if conditions.quick else (SIZE, RUNS)
    device = choose_device(conditions.device)
    generator = torch.Generator().manual_seed(conditions.seed)
    W = torch.randn(size, size, generator=generator)
    v = torch.randn(size, generator=generator)
    W, v = (W / safe_scale(W)).to(device), v.to(device)
    speedups, deviation = {}, 0.0
    for k in SPEEDUP:
        conditions.observer.notify(Stage(what=f"{k} iterations, {runs} runs"))

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
                series=(_powers("here", speedups), _powers("paper", SPEEDUP, reference=True)),
            ),
        ),
        remarks=("Seconds depend on the machine, and the paper does not describe its own; compare the speed-up.",),
    )


def _powers(name: str, speedups: dict[int, float], *, reference: bool = False) -> Series:
    values = tuple(math.log10(value) for value in speedups.values())
    return Series(name=name, x=tuple(map(float, speedups)), y=values, reference=reference)


def _seconds(product: Callable[[], Tensor], runs: int) -> float:
    """Mean seconds of a run of a product that is warm already."""
    began = time.perf_counter()
    for _ in range(runs):
        float(product()[0])  # waits for the device
    return (time.perf_counter() - began) / runs


def _operations(quick: bool) -> float:
    size, runs = (_QUICK_SIZE, _QUICK_RUNS) if quick else (SIZE, RUNS)
    # A product with a vector is bound by memory, at about a tenth of the speed of products of matrices.
    return (runs + 1) * sum(4.0 * size**3 * k + 10 * 3.0**k * 2 * size**2 for k in SPEEDUP)


STUDIES = (
    Study(
        name="table3",
        title="Runtime of matrix-vector Björck",
        source="table 3, appendix B.4",
        measure=_measure,
        operations=_operations,
        reduced=(f"matrix {_QUICK_SIZE} x {_QUICK_SIZE} instead of {SIZE} x {SIZE}", f"{_QUICK_RUNS} runs instead of {RUNS}"),
    ),
)
