"""Verification: critics saved with the numbers that they prove, and checked again without training."""

import json
import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wdist.bounds.certificate import certify
from wdist.bounds.confidence import METHODS
from wdist.critics.frozen import FrozenCritic
from wdist.data.access import Access
from wdist.data.features.opening import open_features
from wdist.data.features.space import FeatureSpace
from wdist.data.pairing import Pair, open_pair
from wdist.environment import choose_device
from wdist.errors import SourceError
from wdist.estimation.evaluation import ErrorBudget, judge
from wdist.estimation.result import Estimate
from wdist.files import atomic_write
from wdist.ground_metric import METRICS
from wdist.training.observer import Observer, Silent, Stage

CLAIM_VERSION = "1"
_AGREEMENT = 1e-9
"""Relative difference that another order of summation may cause; a claim beyond it was not computed from these numbers."""


@dataclass(frozen=True, kw_only=True)
class SavedClaims:
    """Claims of a saved critic about itself and the two sample sets."""

    version: str
    critic_digest: str
    lipschitz_bound: float
    samples_lower: float
    population_lower: float
    confidence: float
    jointly_with: int
    method: str
    seed: int
    a: str
    b: str
    digest_a: str | None
    """Digest of the stored samples; None for an endless source."""
    digest_b: str | None
    event_shape: tuple[int, ...]
    metric: str = "l2"
    features: str | None = None
    """Feature space, as the user wrote it; None for that of the samples."""
    features_digest: str | None = None
    """Digest of the file of weights, or of the file of the function."""

    def __post_init__(self) -> None:
        if not (0.5 <= self.confidence < 1 and self.jointly_with >= 1 and self.method in METHODS):
            raise ValueError("its confidence is not one")
        if self.metric not in METRICS:
            raise ValueError("its ground metric is unknown")
        if self.version != CLAIM_VERSION:
            raise ValueError(f"it has version {self.version}; this wdist reads {CLAIM_VERSION}")
        if type(self.seed) is not int or self.seed < 0 or type(self.jointly_with) is not int:
            raise ValueError("its seed or its number of bounds is not a whole number")
        if not (isinstance(self.a, str) and isinstance(self.b, str)):
            raise ValueError("its addresses are not text")
        for number in (self.lipschitz_bound, self.samples_lower, self.population_lower):
            if type(number) not in (int, float):
                raise ValueError("its bounds are not numbers")

    def to_json(self) -> str:
        """One line that :meth:`from_json` reads."""
        return json.dumps(vars(self))

    @classmethod
    def from_json(cls, text: str) -> "SavedClaims":
        """Reads a claim.

        Raises:
            ValueError, TypeError: the text is not a claim.
        """
        fields = json.loads(text)
        return cls(**{**fields, "event_shape": tuple(fields["event_shape"])})


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check and its outcome."""

    what: str
    ok: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Outcome of checking a saved critic."""

    findings: tuple[Check, ...]
    a: str
    b: str
    lipschitz_bound: float
    claimed_lipschitz_bound: float
    lower: float
    """Lower bound for the samples, recomputed from the weights and the samples."""
    claimed_lower: float
    population_lower: float
    claimed_population_lower: float
    confidence: float
    endless: bool
    """Whether a side is drawn, so that its samples come from the seed and not from a file."""

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(finding.ok for finding in self.findings)


def serialise_critic(estimate: Estimate) -> bytes:
    """The main critic of an estimate with its claim, as the bytes of a safetensors file."""
    result, features = estimate.critic, estimate.features
    claim = SavedClaims(
        version=CLAIM_VERSION,
        critic_digest=result.frozen.digest(),
        lipschitz_bound=result.lipschitz_bound,
        samples_lower=result.samples.lower,
        population_lower=result.population.lower,
        confidence=result.population.confidence,
        jointly_with=result.population.jointly_with,
        method=result.population.method,
        seed=estimate.seed,
        a=estimate.a.address,
        b=estimate.b.address,
        digest_a=estimate.digest_a,
        digest_b=estimate.digest_b,
        event_shape=estimate.a.event_shape,
        metric=estimate.metric,
        features=None if features is None else features.spec,
        features_digest=None if features is None else features.digest,
    )
    return result.frozen.serialise({"claim": claim.to_json()})


def load_claimed(path: str | Path) -> tuple[FrozenCritic, SavedClaims]:
    """A critic that :func:`save_critic` wrote, and its claim; SourceError if they cannot be read."""
    frozen, metadata = FrozenCritic.load(Path(path))
    try:
        return frozen, SavedClaims.from_json(metadata["claim"])
    except (KeyError, ValueError, TypeError) as error:
        raise SourceError(f"{path} carries no readable claim ({error}); give a critic saved by --save-critic") from error


def verify(
    path: str | Path,
    a: Any = None,
    b: Any = None,
    *,
    access: Access | None = None,
    features: Any = None,
    device: str = "cpu",
    observer: Observer | None = None,
) -> Verification:
    """Recomputes the certificate and the bounds of a saved critic from its weights and the samples, without training.

    Arguments:
        path: written by ``--save-critic``.
        a, b: the two sources; by default the addresses that the critic was saved with.
        access: permissions for opening the sources.
        features: feature space of the claim, as for :func:`wdist.estimation.estimate.estimate`; by default as saved.
        device: that samples are drawn on.
        observer: is told about progress.

    Raises:
        SourceError: the critic or a source cannot be read, or they do not fit together.
    """
    observer = observer or Silent()
    observer.notify(Stage(what="bounding the norms of the layers"))
    frozen, claim = load_claimed(path)
    certificate = certify(frozen, METRICS[claim.metric])
    observer.notify(Stage(what="evaluating all samples"))
    access, chosen_device = access or Access(), choose_device(device)
    space = open_features(claim.features if features is None else features, access, chosen_device)
    a, b = claim.a if a is None else a, claim.b if b is None else b
    with closing(open_pair(a, b, access=access, seed=claim.seed, device=chosen_device, features=space)) as pair:
        if pair.a.info.dim != frozen.dim:
            raise SourceError(
                f"{path} takes samples of {frozen.dim} coordinates, but those of {pair.a.info.address} have {pair.a.info.dim}; "
                f"give the sources it was trained on"
            )
        errors = ErrorBudget(confidence=claim.confidence, method=claim.method, lower_bounds=claim.jointly_with)
        judged = judge(frozen, certificate, pair, errors)
    unchanged, bound = frozen.digest() == claim.critic_digest, certificate.lipschitz_bound
    return Verification(
        findings=(
            Check(what="weights", ok=unchanged, detail="as saved" if unchanged else "changed after they were saved"),
            _compared("certificate", bound, claim.lipschitz_bound, quantity="Lipschitz constant at most "),
            *_features(space, claim),
            *_samples(pair, claim),
            _compared("lower bound, samples", judged.samples.lower, claim.samples_lower),
            _compared("lower bound, populations", judged.population.lower, claim.population_lower),
        ),
        a=pair.a.info.address,
        b=pair.b.info.address,
        lipschitz_bound=bound,
        claimed_lipschitz_bound=claim.lipschitz_bound,
        lower=judged.samples.lower,
        claimed_lower=claim.samples_lower,
        population_lower=judged.population.lower,
        claimed_population_lower=claim.population_lower,
        confidence=claim.confidence,
        endless=pair.a.digest is None or pair.b.digest is None,
    )


def _features(space: FeatureSpace | None, claim: SavedClaims) -> Iterator[Check]:
    if space is not None and claim.features is not None:
        same = space.facts.digest == claim.features_digest
        detail = "of the claimed function" if same else "of another function, or its file changed"
        yield Check(what="features", ok=same, detail=detail)
    elif space is not None or claim.features is not None:
        detail = "given on one side only: the claim and this check are about different spaces"
        yield Check(what="features", ok=False, detail=detail)


def _samples(pair: Pair, claim: SavedClaims) -> Iterator[Check]:
    for name, measure, digest in (("samples A", pair.a, claim.digest_a), ("samples B", pair.b, claim.digest_b)):
        same = measure.digest == digest
        detail = "not those of the claim" if not same else "drawn again from the seed" if digest is None else "as claimed"
        yield Check(what=name, ok=same, detail=detail)


def _compared(what: str, found: float, claimed: float, *, quantity: str = "") -> Check:
    # Products on another machine round differently, within the margin of every bound; more means other weights or claims.
    agrees = math.isclose(found, claimed, rel_tol=_AGREEMENT)
    return Check(what=what, ok=agrees, detail=f"{quantity}{found!r}" + ("" if agrees else f", not the claimed {claimed!r}"))


def save_critic(estimate: Estimate, path: str | Path) -> None:
    """Saves the main critic of an estimate with what it proves, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    atomic_write(Path(path), serialise_critic(estimate))
