r"""Attacks: perturbations of bounded size that change the prediction of a classifier, found by its gradient.

Both lower the margin :math:`y_t - \max_{i \ne t} y_i`, the loss f6 of Carlini and Wagner. Unlike the cross-entropy, it keeps its
gradient where the classifier is confident; margins in the hundreds make every softmax underflow.

References:
    Goodfellow, Shlens & Szegedy (2015), Explaining and harnessing adversarial examples, arXiv:1412.6572 (the fast gradient sign).
    Madry, Makelov, Schmidt, Tsipras & Vladu (2018), Towards deep learning models resistant to adversarial attacks,
        arXiv:1706.06083 (projected gradient descent, restarts).
    Carlini & Wagner (2017), Towards evaluating the robustness of neural networks, arXiv:1608.04644 (the loss f6).
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, appendix H.5 (200 iterations from
        starts within eps / 10).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from wdist.errors import UsageError
from wdist.ground_metric import L2, LINF, GroundMetric
from wdist.robustness.classifier import FrozenClassifier, Logits
from wdist.robustness.margin import margin, margins
from wdist.robustness.modules import ModuleClassifier

ITERATIONS = 200
_START = 0.1
"""Fraction of eps within which an attack starts, at random."""
_TRAVEL = 2.5
"""Total length of all steps divided by eps: enough to cross the ball and turn."""
_SHORT = 1 - 1e-12
"""Fraction of eps to which candidates are limited, so that rounding does not carry them outside."""
Loss = Callable[[Tensor, Tensor], Tensor]
"""Maps logits and labels to a value for each sample, shape (n,), that the attack minimises."""


@dataclass(frozen=True, kw_only=True)
class Ball:
    """The perturbations that an attack may choose."""

    eps: float
    """Largest size, in the units of the data."""
    metric: GroundMetric
    box: tuple[float, float] | None = None
    """Interval of valid coordinates, such as [0, 1] of images; perturbed samples stay inside."""

    def __post_init__(self) -> None:
        if self.metric not in (L2, LINF):
            raise UsageError(f"attacks know the norms l2 and linf, not {self.metric}; choose one of them")
        if not 0 <= self.eps < math.inf:
            raise UsageError(f"--eps must be finite and not negative, not {self.eps}")

    def projected(self, moved: Tensor, x: Tensor) -> Tensor:
        """Brings each row of ``moved``, a perturbation of a row of x, into the ball and then into the box.

        Clipping to the box moves no coordinate away from x, so the result stays within eps.
        """
        delta = moved - x
        if self.metric == LINF:
            delta = delta.clamp(-self.eps, self.eps)
        else:
            delta = delta * (self.eps / self.metric.norm(delta).clamp(min=1e-30)).clamp(max=1)[:, None]
        inside = x + delta
        return inside if self.box is None else inside.clamp(x.clamp(max=self.box[0]), x.clamp(min=self.box[1]))

    def step(self, gradient: Tensor, length: float) -> Tensor:
        """The step of a length in which a linear function with this gradient rises most."""
        if self.metric == LINF:
            return length * gradient.sign()
        return length * gradient / self.metric.norm(gradient).clamp(min=1e-30)[:, None]

    def start(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """A random point within a tenth of eps, for each row."""
        noise = torch.rand(x.shape, generator=generator).to(x) * 2 - 1
        if self.metric != LINF:
            noise = noise / self.metric.norm(noise).clamp(min=1e-30)[:, None]
        return self.projected(x + _START * self.eps * noise, x)


def fast_gradient(function: Logits, x: Tensor, labels: Tensor, ball: Ball) -> Tensor:
    """One step of length eps down the gradient of the margin, from each row of x, shape (n, dim)."""
    return ball.projected(x - ball.step(_gradient(function, x, labels, margin)[1], ball.eps), x)


def projected_gradient(
    function: Logits,
    x: Tensor,
    labels: Tensor,
    ball: Ball,
    *,
    generator: torch.Generator,
    iterations: int,
    restarts: int = 1,
) -> Tensor:
    """Steps down the gradient of the margin, each projected back to the ball, from random starts near x.

    A sample is no longer attacked once it is misclassified.

    Arguments:
        function: the classifier, in the precision and on the device of x.
        x: samples, shape (n, dim).
        labels: classes, shape (n,).
        ball: the allowed perturbations.
        generator: generator of the random starts, on the CPU.
        iterations: steps from each start.
        restarts: number of starts, at least 1.

    Returns:
        For each sample, the point with the smallest margin that was found, shape (n, dim).
    """
    best, least = x.clone(), margin_of(function, x, labels)
    for _ in range(restarts):
        rows = torch.nonzero(least > 0).squeeze(1)
        moved = ball.start(x[rows], generator)
        for iteration in range(iterations + 1):
            if not len(rows):
                break
            value, gradient = _gradient(function, moved, labels[rows], margin)
            better = value < least[rows]
            least[rows[better]], best[rows[better]] = value[better], moved[better]
            if iteration == iterations:
                break
            open_ = value > 0
            rows, moved, gradient = rows[open_], moved[open_], gradient[open_]
            moved = ball.projected(moved - ball.step(gradient, _TRAVEL * ball.eps / iterations), x[rows])
    return best


def perturbed_for_training(
    function: Logits, x: Tensor, labels: Tensor, ball: Ball, *, loss: Loss, iterations: int, generator: torch.Generator
) -> Tensor:
    """Adversarial training samples, each after all iterations down ``loss`` from a random point of the ball around a sample."""
    noise = torch.rand(x.shape, generator=generator).to(x) * 2 - 1
    moved = ball.projected(x + ball.eps * noise, x)
    for _ in range(iterations):
        _, gradient = _gradient(function, moved, labels, loss)
        moved = ball.projected(moved - ball.step(gradient, _TRAVEL * ball.eps / iterations), x)
    return moved


@torch.no_grad()
def margin_of(function: Logits, x: Tensor, labels: Tensor) -> Tensor:
    """The margin at each row of x."""
    return margin(function(x), labels)


def _gradient(function: Logits, x: Tensor, labels: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """Margin and gradient of the loss at each row; samples do not affect each other."""
    x = x.detach().requires_grad_()
    logits = function(x)
    (gradient,) = torch.autograd.grad(loss(logits, labels).sum(), x)
    return margin(logits.detach(), labels), gradient


def refuted(classifier: FrozenClassifier | ModuleClassifier, x: Tensor, labels: Tensor, candidates: Tensor, ball: Ball) -> Tensor:
    """Whether candidates prove that the prediction is wrong somewhere in the ball, bool, shape (n,).

    This is decided in float64, whatever the precision of the attack: each candidate is projected to the ball around x, and counts
    if a wrong logit exceeds the true one by more than the rounding.
    """
    exact = Ball(eps=ball.eps * _SHORT, metric=ball.metric, box=ball.box)
    x = x.cpu().double()
    evaluated = classifier.evaluate(exact.projected(candidates.cpu().double(), x))
    return (margins(evaluated.logits, labels.cpu()) < -evaluated.rounding).any(1)
