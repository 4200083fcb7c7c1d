"""Figure 13: what 50 Björck iterations come to at each beta.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, figure 13, appendix B.1.
"""

import torch

from wdist.lipschitz.linalg.orthonormalise import bjorck
from wdist.studies.claim_check import Finding
from wdist.studies.reproduce.experiment import Experiment, Outcome
from wdist.studies.reproduce.figure12 import PARSEVAL_BETA, SIZE, extremes, scalar_recursion, start_matrix
from wdist.studies.reproduce.reproduction import Comparison, Conditions, Curves, Series

ITERATIONS = 50
"""Of the paper."""
LARGEST_BETA = 0.5
_BETAS = 40
_SHOWN = (PARSEVAL_BETA, 0.01, 0.05, 0.1, 0.2, LARGEST_BETA)


def _conduct(conditions: Conditions) -> Outcome:
    W = start_matrix(conditions.seed)
    grid = torch.logspace(torch.log10(torch.tensor(PARSEVAL_BETA)).item(), torch.log10(torch.tensor(LARGEST_BETA)).item(), _BETAS)
    betas = sorted({*_SHOWN, *(float(beta) for beta in grid[1:-1])})
    found = {beta: extremes(bjorck(W, iterations=ITERATIONS, beta=beta)) for beta in betas}
    sigma = torch.linalg.svdvals(W)
    deviation = 0.0
    for beta in betas:
        expected = scalar_recursion(sigma, beta=beta, iterations=ITERATIONS)
        deviation = max(deviation, abs(found[beta][0] - float(expected.max())), abs(found[beta][1] - float(expected.min())))
    largest, smallest = (tuple(found[beta][i] for beta in betas) for i in (0, 1))
    return Outcome(
        settings={"matrix": f"{SIZE} x {SIZE}, Gaussian, scaled by equations 9-11", "iterations": ITERATIONS},
        comparisons=tuple(
            Comparison(row=f"{name} singular value", column=f"beta {beta:g}", ours=found[beta][i])
            for beta in _SHOWN
            for i, name in enumerate(("largest", "smallest"))
        ),
        findings=(
            Finding(
                claim="When beta is much smaller than 0.5 the matrices may be far from orthonormal.",
                holds=found[PARSEVAL_BETA][1] < 0.5 < 0.99 < found[LARGEST_BETA][1],
                detail=f"smallest singular value {found[PARSEVAL_BETA][1]:.4f} at beta {PARSEVAL_BETA}, "
                f"{found[LARGEST_BETA][1]:.4f} at beta {LARGEST_BETA}",
            ),
            Finding(
                claim="Every singular value follows s <- (1 + beta) s - beta s^3 (equation 8).",
                holds=deviation < 1e-9,
                detail=f"largest deviation from that recursion: {deviation:.1e}",
            ),
        ),
        panels=(
            Curves(
                title=f"after {ITERATIONS} Björck iterations",
                x_label="beta",
                y_label="singular value",
                series=(Series(name="largest", x=tuple(betas), y=largest), Series(name="smallest", x=tuple(betas), y=smallest)),
                log_x=True,
            ),
        ),
        remarks=("The paper states no numbers for this figure, nor the matrix; ours is a Gaussian one.",),
    )


EXPERIMENT = Experiment(
    name="figure13",
    title="Convergence of Björck for different beta",
    source="figure 13, appendix B.1",
    conduct=_conduct,
    operations=lambda quick: (_BETAS + len(_SHOWN)) * ITERATIONS * 4.0 * SIZE**3 * 4,
)
