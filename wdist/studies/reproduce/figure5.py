"""Figure 5: critics with different activations approximate three circular cones.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, figure 5, section 7.1.1, appendix H.1.
"""

from collections.abc import Iterator

import numpy as np
import torch

from wdist.data.sources.pairs import cones
from wdist.estimation.result import CriticResult
from wdist.studies.panels import Surface
from wdist.studies.reproduce.paper_critic import TITLES, TRUTH, PaperCritic, trained, truth_check
from wdist.studies.study import ClaimCheck, Conclusion, Conditions, ReproducedNumber, Study

HIDDEN_LAYERS, WIDTH = 3, 312
"""From the paper."""
PEAKS = ((-2.0, 0.0), (0.0, 0.0), (2.0, 0.0))
_WORST, _BEST = ("relu", "maxout:2"), ("maxmin", "full-sort")
_TOUCHES = 0.9
"""Height of a peak above the mean of the circle around it that counts as touched; the optimum has 1."""
_BATCH, _STEPS = 512, 2000
_QUICK_WIDTH, _QUICK_BATCH, _QUICK_STEPS = 128, 256, 500
_POINTS = 51
_CIRCLE = 360


def _critics(quick: bool) -> dict[str, PaperCritic]:
    return {
        activation: PaperCritic(
            label=TITLES[activation],
            activation=activation,
            width=_QUICK_WIDTH if quick else WIDTH,
            depth=HIDDEN_LAYERS + 1,
            batch_size=_QUICK_BATCH if quick else _BATCH,
            optimizer="muon" if quick else "aggmo",
            steps=_QUICK_STEPS if quick else _STEPS,
        )
        for activation in (*_WORST, *_BEST)
    }


def _potentials(result: CriticResult, points: torch.Tensor) -> torch.Tensor:
    return result.frozen.potentials(points) / result.lipschitz_bound


def heights(result: CriticResult) -> tuple[float, ...]:
    """Height of each of the three peaks above the mean of the unit circle around it; 1 for the optimal potential."""
    angle = 2 * torch.pi * torch.arange(_CIRCLE, dtype=torch.float64) / _CIRCLE
    circle = torch.stack([angle.cos(), angle.sin()], dim=1)
    centres = torch.tensor(PEAKS, dtype=torch.float64)
    return tuple(
        float(_potentials(result, centre[None]).mean() - _potentials(result, centre + circle).mean()) for centre in centres
    )


def _surface(result: CriticResult, activation: str, value: float) -> Surface:
    x, y = np.linspace(-3.4, 3.4, 2 * _POINTS - 1), np.linspace(-1.7, 1.7, _POINTS)
    grid = torch.from_numpy(np.stack([side.ravel() for side in np.meshgrid(x, y)], axis=1))
    z = _potentials(result, grid).reshape(len(y), len(x)).numpy()
    return Surface(title=f"{TITLES[activation]}: {value:.3f}", x=x, y=y, z=z - z.min(), peaks=PEAKS, main=activation in _BEST)


def _measure(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    critics, pair, found = _critics(conditions.quick), cones(3), {}
    for activation, result in trained(critics, lambda _: pair, conditions):
        found[activation] = result
        yield ReproducedNumber(row=TITLES[activation], column="objective value", ours=result.population.estimate)
    values = {activation: result.population.estimate for activation, result in found.items()}
    peaks = {activation: heights(result) for activation, result in found.items()}
    for activation in _BEST:
        for (x, y), height in zip(PEAKS, peaks[activation], strict=True):
            yield ReproducedNumber(row=TITLES[activation], column=f"height of the peak at ({x:g}, {y:g})", ours=height, paper=TRUTH)
    best = max(_BEST, key=lambda activation: values[activation])
    yield Conclusion(
        settings={"hidden layers": HIDDEN_LAYERS, **critics["relu"].facts},
        checks=(
            ClaimCheck(
                claim="Networks that do not preserve gradient norm distort the shape of the function.",
                holds=max(values[activation] for activation in _WORST) < min(values[activation] for activation in _BEST),
                detail=", ".join(f"{TITLES[activation]} {value:.3f}" for activation, value in values.items()),
            ),
            ClaimCheck(
                claim="The optimal dual function consists of three cones, and the best critic touches all three peaks.",
                holds=min(peaks[best]) >= _TOUCHES,
                detail=f"{TITLES[best]}: heights {', '.join(f'{height:.3f}' for height in peaks[best])}; the optimum has 1",
            ),
            truth_check("lower confidence bound", (result.population.lower for result in found.values())),
        ),
        panels=tuple(_surface(result, activation, values[activation]) for activation, result in found.items()),
        remarks=("The paper shows objective values in its picture only, not in its text; the truth is 1.",),
    )


STUDIES = (
    Study(
        name="figure5",
        title="Approximating three circular cones",
        source="figure 5, section 7.1.1, appendix H.1",
        measure=_measure,
        operations=lambda quick: sum(critic.operations(2) for critic in _critics(quick).values()),
        reduced=(
            f"width {_QUICK_WIDTH} instead of {WIDTH}",
            f"{_QUICK_STEPS} steps of Muon instead of {_STEPS} of AggMo",
            f"batch size {_QUICK_BATCH} instead of {_BATCH}",
        ),
    ),
)
