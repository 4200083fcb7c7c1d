"""``robust``: the error of a classifier without perturbations, under the best attack found, and a bound under every attack."""

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wdist.arguments import check_fields, shown
from wdist.bounds.digits import at_least, at_most, exactly
from wdist.data.access import Access
from wdist.data.labels import LabelledSamples, read_labelled
from wdist.data.sources.address import check_there, parse_address
from wdist.data.sources.network_file import open_module
from wdist.data.sources.opening import holds_model
from wdist.data.sources.source import SourceInfo
from wdist.environment import Environment, choose_device, environment
from wdist.errors import ExitStatus, SourceError, UsageError
from wdist.gates.rules import Answer
from wdist.ground_metric import L2, LINF, GroundMetric
from wdist.interruption import Interruption
from wdist.presentable import Plottable
from wdist.robustness.attacks import ITERATIONS, Ball, projected_gradient, refuted
from wdist.robustness.certification import Certified, Classifier, certify_classifier, margin_constants
from wdist.robustness.classifier import FrozenClassifier, load_classifier
from wdist.robustness.modules import module_classifier
from wdist.robustness.training import ClassifierNetwork
from wdist.training.observer import Observer, Silent, Stage

NORMS = {"l2": L2, "linf": LINF}
_SLAB = 500
"""Samples attacked at a time."""
_CURVE, _REACH = 40, 2.0
"""Points of the curve of certified errors, and its largest eps as a multiple of the requested one."""


@dataclass(frozen=True, kw_only=True)
class RobustOptions:
    """Options of one run, validated when made."""

    eps: float
    """Largest size of a perturbation, in the units of the data."""
    norm: str = "l2"
    """Norm of perturbations: ``l2`` or ``linf``."""
    minimum: float | None = None
    """Required accuracy under every perturbation; None for no verdict."""
    iterations: int = ITERATIONS
    """Steps of the attack from each start; 0 for no attack."""
    restarts: int = 2
    seed: int = 0
    device: str = "auto"
    access: Access = field(default_factory=Access)

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 <= self.eps < math.inf:
            raise UsageError(f"--eps must be finite and not negative, not {self.eps}")
        if self.norm not in NORMS:
            raise UsageError(f"--norm {self.norm} is unknown; choose one of {', '.join(NORMS)}")
        if self.minimum is not None and not 0 < self.minimum <= 1:
            raise UsageError(f"--min is an accuracy above 0 and at most 1, such as 0.9, not {self.minimum}")
        if self.iterations < 0 or self.restarts < 1:
            raise UsageError("--iterations must not be negative, and --restarts must be at least 1")

    @property
    def metric(self) -> GroundMetric:
        """The norm as a metric."""
        return NORMS[self.norm]


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """The certified error at one size of perturbations."""

    eps: float
    certified_error: float


@dataclass(frozen=True, kw_only=True, repr=False)
class Robustness(Plottable):
    """Errors of a classifier on labelled samples: clean <= attacked <= under the worst perturbations <= certified."""

    model: str
    data: SourceInfo
    count: int
    """Number of samples."""
    classes: int
    eps: float
    norm: str
    misclassified: int
    """Samples that are misclassified without a perturbation."""
    misled: int
    """Misclassified samples, and samples for which a misclassified perturbation of at most ``eps`` is known."""
    uncertified: int
    """Samples that are not proved to be classified correctly within ``eps``."""
    lipschitz_bound: float
    """Largest proved Lipschitz constant of a difference of two logits, in ``norm``."""
    proof: str
    """The chain of norms that proves it."""
    median_radius: float
    """Median of the certified radii, which are 0 for misclassified samples."""
    curve: tuple[CurvePoint, ...]
    iterations: int
    restarts: int
    """Steps and starts of the attack."""
    minimum: float | None = None
    """Required accuracy."""
    seed: int
    seconds: float
    interrupted: bool = False
    """Whether the attack was cut short; all numbers hold nevertheless."""
    environment: Environment
    warnings: tuple[str, ...] = ()

    @property
    def clean_error(self) -> float:
        """Fraction of samples misclassified without a perturbation."""
        return self.misclassified / self.count

    @property
    def attacked_error(self) -> float:
        """Fraction misclassified under the perturbations found: a lower bound for the error under the worst perturbations."""
        return self.misled / self.count

    @property
    def certified_error(self) -> float:
        """Fraction not proved to be classified correctly: an upper bound for the error under the worst perturbations."""
        return self.uncertified / self.count

    @property
    def certified_accuracy(self) -> float:
        """Fraction proved to be classified correctly within ``eps``."""
        return (self.count - self.uncertified) / self.count

    @property
    def attacked_accuracy(self) -> float:
        """Fraction classified correctly under the perturbations found."""
        return (self.count - self.misled) / self.count

    @property
    def answer(self) -> Answer | None:
        """Pass if the certified accuracy is at least the minimum, fail if the attacked accuracy is below it, else inconclusive."""
        if self.minimum is None:
            return None
        if self.certified_accuracy >= self.minimum:
            return Answer.PASS
        return Answer.FAIL if self.attacked_accuracy < self.minimum else Answer.INCONCLUSIVE

    @property
    def reason(self) -> str | None:
        """The verdict in a sentence; None without a minimum."""
        if self.minimum is None or self.answer is None:
            return None
        asked, certified = f"{exactly(100 * self.minimum)} %", f"{at_least(100 * (self.count - self.uncertified) / self.count)} %"
        attacked = f"{at_most(100 * (self.count - self.misled) / self.count)} %"
        if self.answer is Answer.PASS:
            return f"the accuracy is at least {certified} under every perturbation of that size; {asked} is required"
        if self.answer is Answer.FAIL:
            under = "under the perturbations that the attack found" if self.iterations else "without any perturbation"
            return f"the accuracy is at most {attacked} {under}; {asked} is required"
        return f"the accuracy under the worst perturbations lies between {certified} and {attacked}; {asked} is required"

    @property
    def exit_status(self) -> ExitStatus:
        """Exit status of the verdict; 0 without one."""
        return ExitStatus.DONE if self.answer is None else self.answer.exit_status


def run_robust(model: Any, data: Any, labels: Any, *, options: RobustOptions, observer: Observer | None) -> Robustness:
    """Certifies and attacks with validated options; arguments, result and errors as for :func:`wdist.robust`."""
    began, observer, interruption = time.perf_counter(), observer or Silent(), Interruption()
    observer.notify(Stage(what="reading the samples"))
    samples = read_labelled(data, labels, options.access, seed=options.seed)
    classifier, name = open_classifier(model, samples.info.event_shape, options.access)
    _check_fit(classifier, samples)
    observer.notify(Stage(what=f"certifying {len(samples.x)} samples"))
    constants = margin_constants(classifier, options.metric)
    certified = certify_classifier(classifier, samples.x, samples.labels, constants)
    wrong = ~certified.correct
    open_ = certified.correct & (certified.radii <= options.eps)
    found, complete = _attacked(classifier, samples, open_, options, observer, interruption)
    return Robustness(
        model=name,
        data=samples.info,
        count=len(samples.x),
        classes=classifier.classes,
        eps=options.eps,
        norm=options.norm,
        misclassified=int(wrong.sum()),
        misled=int((wrong | found).sum()),
        uncertified=int((certified.radii <= options.eps).sum()),
        lipschitz_bound=constants.largest,
        proof=constants.proof,
        median_radius=float(certified.radii.median()),
        curve=tuple(_curve(certified, options.eps)),
        iterations=options.iterations,
        restarts=options.restarts,
        minimum=options.minimum,
        seed=options.seed,
        seconds=time.perf_counter() - began,
        interrupted=not complete,
        environment=environment(choose_device(options.device)),
    )


def open_classifier(model: Any, event_shape: tuple[int, ...], access: Access) -> tuple[Classifier, str]:
    """A classifier of samples of a shape, and its name.

    Raises:
        SourceError: the file holds no classifier, or a network without a known Lipschitz bound.
        TrustRequired: the file holds code, and ``access`` does not trust it.
        UsageError: ``model`` has another type.
    """
    if isinstance(model, FrozenClassifier):
        return model, "<classifier>"
    if isinstance(model, ClassifierNetwork):
        return model.frozen(), "<network>"
    if isinstance(model, nn.Module):
        return module_classifier(model, event_shape), "<module>"
    if not isinstance(model, str | Path):
        raise UsageError(f"model must be a saved classifier, its address or a torch module, not {shown(model)}")
    address = parse_address(model)
    check_there(address)
    if address.suffix == ".safetensors" and "factory" not in address.options:
        address.only()
        return load_classifier(address.path), str(model)
    if not holds_model(address):
        raise SourceError(
            f"{model} is not a saved classifier; give a .safetensors file, with ?factory=module:Class if wdist did not write it"
        )
    found = open_module(address, access)
    return module_classifier(found.module, found.shape or event_shape, what=address.bare), str(model)


def _check_fit(classifier: Classifier, samples: LabelledSamples) -> None:
    if samples.x.shape[1] != classifier.dim:
        raise SourceError(
            f"{samples.info.address} has {samples.x.shape[1]} coordinates per sample, but the classifier takes {classifier.dim}; "
            "give the data that it was trained for"
        )
    largest = int(samples.labels.max())
    if largest >= classifier.classes or int(samples.labels.min()) < 0:
        raise SourceError(
            f"{samples.info.address} has the label {largest}, but the classifier has {classifier.classes} classes, counted from 0; "
            "number the classes as in its training"
        )


def _attacked(
    classifier: Classifier,
    samples: LabelledSamples,
    open_: Tensor,
    options: RobustOptions,
    observer: Observer,
    interruption: Interruption,
) -> tuple[Tensor, bool]:
    """Whether an attack misleads each sample, shape (n,), and whether it was complete; only those in ``open_`` are attacked."""
    device = choose_device(options.device)
    function, generator = classifier.function(device), torch.Generator().manual_seed(options.seed)
    ball = Ball(eps=options.eps, metric=options.metric, box=samples.info.bounds)
    found, rows = torch.zeros_like(open_), torch.nonzero(open_).squeeze(1)
    if not options.iterations:
        return found, True
    for start in range(0, len(rows), _SLAB):
        observer.notify(Stage(what=f"attacking samples {start + 1} to {min(start + _SLAB, len(rows))} of {len(rows)} uncertified"))
        some = rows[start : start + _SLAB]

        def attack(some: Tensor = some) -> Tensor:
            x, labels = samples.x[some], samples.labels[some]
            moved = projected_gradient(
                function,
                x.to(device, torch.float32),
                labels.to(device),
                ball,
                generator=generator,
                iterations=options.iterations,
                restarts=options.restarts,
            )
            return refuted(classifier, x, labels, moved, ball)

        misled = interruption.attempt(attack)
        if misled is None:
            return found, False
        found[some] = misled
    return found, True


def _curve(certified: Certified, eps: float) -> list[CurvePoint]:
    """Certified errors from 0 to twice eps."""
    reach = _REACH * eps if eps else _REACH * float(certified.radii.median())
    sizes = [reach * step / _CURVE for step in range(_CURVE + 1)]
    return [CurvePoint(eps=size, certified_error=certified.error(size)) for size in sizes]
