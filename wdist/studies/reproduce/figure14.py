"""Figure 14: Björck orthonormalisation against spectral normalisation during training.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, figure 14, appendix B.2.
"""

from collections.abc import Iterator

from wdist.data.sources.pairs import sphere
from wdist.estimation.result import CriticResult
from wdist.studies.panels import Panel, series_of
from wdist.studies.reproduce.paper_critic import PaperCritic, trained
from wdist.studies.study import ClaimCheck, Conclusion, Conditions, ReproducedNumber, Study

DIMENSIONS = (128, 256, 512)
LEARNING_RATES = {"spectral": 0.0033, "bjorck": 0.01}
"""From the paper, for Adam: "tuned"."""
WIDTH, HIDDEN_LAYERS = 512, 3
"""From the paper."""
_TITLES = {"spectral": "spectral norm", "bjorck": "Björck"}
_BATCH, _STEPS = 512, 2000
_QUICK_BATCH, _QUICK_STEPS = 128, 160


def _critics(quick: bool) -> dict[tuple[str, int], PaperCritic]:
    """(constraint, dimension) -> critic."""
    return {
        (constraint, dim): PaperCritic(
            label=f"{title}, dimension {dim}",
            activation="maxmin",
            constraint=constraint,
            width=WIDTH,
            depth=HIDDEN_LAYERS + 1,
            batch_size=_QUICK_BATCH if quick else _BATCH,
            optimizer="adam",
            learning_rate=LEARNING_RATES[constraint],
            schedule="constant",
            steps=_QUICK_STEPS if quick else _STEPS,
        )
        for constraint, title in _TITLES.items()
        for dim in DIMENSIONS
    }


def steps_to(result: CriticResult, value: float) -> int | None:
    """The first validated step at which a critic reaches a value; None if it never does."""
    return next((point.step for point in result.history if point.validation >= value), None)


def _measure(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    found = {}
    for (constraint, dim), result in trained(_critics(conditions.quick), lambda key: sphere(key[1]), conditions):
        found[constraint, dim] = result
        column = f"dimension {dim}, end of training"
        yield ReproducedNumber(row=_TITLES[constraint], column=column, ours=result.population.estimate)
    yield Conclusion(
        settings={
            "width": WIDTH,
            "hidden layers": HIDDEN_LAYERS,
            "activation": "MaxMin",
            "optimizer": "adam",
            "learning rates": ", ".join(f"{_TITLES[name]} {rate}" for name, rate in LEARNING_RATES.items()),
            "batch size": _QUICK_BATCH if conditions.quick else _BATCH,
            "steps": _QUICK_STEPS if conditions.quick else _STEPS,
        },
        checks=_checks(found),
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
            "The paper states no numbers for this figure, nor activation, batch size and steps; the truth is 1.",
            "The paper's Björck layers iterate in every forward pass; ours follow tangent gradients and return to the constraint "
            "every few steps, which reaches the same orthonormal weights.",
        ),
    )


def _checks(found: dict[tuple[str, int], CriticResult]) -> tuple[ClaimCheck, ...]:
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


STUDIES = (
    Study(
        name="figure14",
        title="Björck against spectral normalisation over training",
        source="figure 14, appendix B.2",
        measure=_measure,
        operations=lambda quick: sum(critic.operations(dim) for (_, dim), critic in _critics(quick).items()),
        reduced=(f"{_QUICK_STEPS} steps instead of {_STEPS}", f"batch size {_QUICK_BATCH} instead of {_BATCH}"),
    ),
)
