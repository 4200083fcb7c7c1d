"""Figure 5: three circular cones by critics with different activations.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, figure 5, section 7.1.1, appendix H.1.
"""

import numpy as np
import torch

from wdist.data.sources.pairs import cones
from wdist.estimation.result import CriticResult
from wdist.studies.claim_check import Finding
from wdist.studies.reproduce.dual_training import TITLES, Trial, train_one
from wdist.studies.reproduce.experiment import Experiment, Outcome
from wdist.studies.reproduce.forecast import critic_operations
from wdist.studies.reproduce.reproduction import Comparison, Conditions, Surface

TRUTH = 1.0
HIDDEN_LAYERS, WIDTH = 3, 312
"""Of the paper."""
PEAKS = ((-2.0, 0.0), (0.0, 0.0), (2.0, 0.0))
_ACTIVATIONS = ("relu", "maxout:2", "maxmin", "full-sort")
_BEST = ("maxmin", "full-sort")
_TOUCHES = 0.9
"""Height of a peak above the mean of the circle around it that counts as touched; the whole is 1."""
_BATCH, _STEPS = 512, 2000
_QUICK_WIDTH, _QUICK_BATCH, _QUICK_STEPS = 128, 256, 500
_POINTS = 51
_CIRCLE = 360


def _trials(quick: bool) -> dict[str, Trial]:
    return {
        activation: Trial(
            label=TITLES[activation],
            activation=activation,
            width=_QUICK_WIDTH if quick else WIDTH,
            depth=HIDDEN_LAYERS + 1,
            batch_size=_QUICK_BATCH if quick else _BATCH,
            optimizer="muon" if quick else "aggmo",
            steps=_QUICK_STEPS if quick else _STEPS,
        )
        for activation in _ACTIVATIONS
    }


def _potentials(result: CriticResult, points: torch.Tensor) -> torch.Tensor:
    return result.frozen.potentials(points) / result.lipschitz_bound


def heights(result: CriticResult) -> tuple[float, ...]:
    """How far each of the three points stands above the mean of the unit circle around it; 1 for the optimal potential."""
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


def _conduct(conditions: Conditions) -> Outcome:
    trials, pair = _trials(conditions.quick), cones(3)
    found = {
        activation: train_one(pair, trial, conditions, position=position, trials=len(trials))
        for position, (activation, trial) in enumerate(trials.items(), start=1)
    }
    values = {activation: result.population.estimate for activation, result in found.items()}
    peaks = {activation: heights(result) for activation, result in found.items()}
    lowers = [result.population.lower for result in found.values()]
    best = max(_BEST, key=lambda activation: values[activation])
    first = trials[_ACTIVATIONS[0]]
    return Outcome(
        settings={
            "hidden layers": HIDDEN_LAYERS,
            "width": first.width,
            "optimizer": first.optimizer,
            "steps": first.steps,
            "batch size": first.batch_size,
            "constraint": "bjorck",
            "truth": TRUTH,
        },
        comparisons=(
            *(Comparison(row=TITLES[activation], column="objective value", ours=value) for activation, value in values.items()),
            *(
                Comparison(row=TITLES[activation], column=f"height of the peak at ({x:g}, {y:g})", ours=height, paper=TRUTH)
                for activation in _BEST
                for (x, y), height in zip(PEAKS, peaks[activation], strict=True)
            ),
        ),
        findings=(
            Finding(
                claim="Networks that do not preserve gradient norm distort the shape of the function.",
                holds=max(values[activation] for activation in ("relu", "maxout:2"))
                < min(values[activation] for activation in _BEST),
                detail=", ".join(f"{TITLES[activation]} {value:.3f}" for activation, value in values.items()),
            ),
            Finding(
                claim="The optimal dual function consists of three cones, which ours touches at all three peaks.",
                holds=min(peaks[best]) >= _TOUCHES,
                detail=f"{TITLES[best]}: heights {', '.join(f'{height:.3f}' for height in peaks[best])}, where the optimum has 1",
            ),
            Finding(
                claim="No lower confidence bound exceeds the truth, 1.",
                holds=max(lowers) <= TRUTH,
                detail=f"the largest is {max(lowers):.6f}",
            ),
        ),
        panels=tuple(_surface(found[activation], activation, values[activation]) for activation in _ACTIVATIONS),
        remarks=("The paper's objective values stand in its picture only, not in its text; the truth is 1.",),
    )


EXPERIMENT = Experiment(
    name="figure5",
    title="Approximating three circular cones",
    source="figure 5, section 7.1.1, appendix H.1",
    conduct=_conduct,
    operations=lambda quick: sum(
        critic_operations(
            dim=2,
            width=trial.width,
            depth=trial.depth,
            batch=2 * trial.batch_size,
            steps=trial.steps,
            muon=trial.optimizer == "muon",
        )
        for trial in _trials(quick).values()
    ),
    reduced=(
        f"width {_QUICK_WIDTH} instead of {WIDTH}",
        f"{_QUICK_STEPS} steps of Muon instead of {_STEPS} of AggMo",
        f"batch size {_QUICK_BATCH} instead of {_BATCH}",
    ),
)
