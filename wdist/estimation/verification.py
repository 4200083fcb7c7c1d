"""Critics as evidence: saved with the numbers that they prove, and checked again without training."""

import json
import math
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
from wdist.estimation.evaluation import Judgement, Statement, judge
from wdist.estimation.result import CriticResult, Estimate
from wdist.ground_metric import METRICS
from wdist.training.observer import Observer, Silent, Stage

CLAIM_VERSION = "1"
_AGREEMENT = 1e-9
"""Relative difference that another machine's order of summation may make; a claim beyond it was not computed from these numbers."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a saved critic says of itself and of the two sample sets."""

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
    """Of the stored samples; None for an endless source."""
    digest_b: str | None
    event_shape: tuple[int, ...]
    metric: str = "l2"
    features: str | None = None
    """The space that the samples were mapped to, as the user wrote it; None for their own."""
    features_digest: str | None = None
    """Of what it rests on: the file of weights, or that of the function."""

    def __post_init__(self) -> None:
        if not (0.5 <= self.confidence < 1 and self.jointly_with >= 1 and self.method in METHODS):
            raise ValueError("what it says of its confidence has no meaning")
        if self.metric not in METRICS:
            raise ValueError("its ground metric is unknown")
        if self.version != CLAIM_VERSION:
            raise ValueError("it was written by another version, whose numbers may mean something else")
        if type(self.seed) is not int or self.seed < 0 or type(self.jointly_with) is not int:
            raise ValueError("its seed, or its number of bounds, is none")
        if not (isinstance(self.a, str) and isinstance(self.b, str)):
            raise ValueError("its addresses are none")
        for number in (self.lipschitz_bound, self.samples_lower, self.population_lower):
            if type(number) not in (int, float):
                raise ValueError("its bounds are no numbers")

    def to_json(self) -> str:
        """One line that :meth:`from_json` reads."""
        return json.dumps(vars(self))

    @classmethod
    def from_json(cls, text: str) -> "Claim":
        """Reads a claim.

        Raises:
            ValueError, TypeError: it is none.
        """
        fields = json.loads(text)
        return cls(**{**fields, "event_shape": tuple(fields["event_shape"])})


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was checked."""

    what: str
    ok: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What a saved critic was found to prove."""

    findings: tuple[Check, ...]
    a: str
    b: str
    lipschitz_bound: float
    claimed_lipschitz_bound: float
    lower: float
    """For the two sample sets, computed anew from the weights and the samples."""
    claimed_lower: float
    population_lower: float
    claimed_population_lower: float
    confidence: float
    endless: bool
    """At least one side is drawn, so that its samples are those of the seed and not of a file."""

    @property
    def ok(self) -> bool:
        """Nothing was found wrong."""
        return all(finding.ok for finding in self.findings)


def claim_of(result: CriticResult, estimate: Estimate) -> Claim:
    """What ``result``, one critic of ``estimate``, is saved with."""
    return Claim(
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
        features=None if estimate.features is None else estimate.features.spec,
        features_digest=None if estimate.features is None else estimate.features.digest,
    )


def serialise_critic(estimate: Estimate) -> bytes:
    """The main critic of an estimate with its claim, as the bytes of a safetensors file."""
    return estimate.critic.frozen.serialise({"claim": claim_of(estimate.critic, estimate).to_json()})


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
    """Computes a saved critic's certificate and bounds anew from its weights and the samples; nothing is trained.

    Arguments:
        path: written by ``--save-critic``.
        a, b: the two sources; the addresses that the critic was saved with where they are left out.
        access: what opening the sources may do.
        features: the space that the claim speaks of, as for :func:`wdist.estimation.estimate.estimate`; by default as it was saved.
        device: on which samples are drawn.
        observer: is told how far the work is.

    Raises:
        SourceError: the critic or a source cannot be read, or they do not fit together.
    """
    observer = observer or Silent()
    observer.notify(Stage(what="bounding the norms of the layers"))
    frozen, metadata = FrozenCritic.load(Path(path))
    try:
        claim = Claim.from_json(metadata["claim"])
    except (KeyError, ValueError, TypeError) as error:
        raise SourceError(f"{path} carries no readable claim; give a critic saved by --save-critic") from error
    certificate = certify(frozen, METRICS[claim.metric])
    observer.notify(Stage(what="evaluating all samples"))
    access, chosen_device = access or Access(), choose_device(device)
    space = open_features(claim.features if features is None else features, access, chosen_device)
    pair = open_pair(
        claim.a if a is None else a,
        claim.b if b is None else b,
        access=access,
        seed=claim.seed,
        device=chosen_device,
        features=space,
    )
    try:
        if pair.a.info.dim != frozen.dim:
            raise SourceError(
                f"{path} takes samples of {frozen.dim} coordinates, but those of {pair.a.info.address} have {pair.a.info.dim}; "
                f"give the two sources that it was trained on"
            )
        statement = Statement(confidence=claim.confidence, method=claim.method, bounds=claim.jointly_with)
        judged = judge(frozen, certificate, pair, statement)
    finally:
        pair.close()
    return Verification(
        findings=(
            *_weights(frozen, claim, certificate.lipschitz_bound),
            *_features(space, claim),
            *_samples(pair, claim),
            *_numbers(judged, claim),
        ),
        a=pair.a.info.address,
        b=pair.b.info.address,
        lipschitz_bound=certificate.lipschitz_bound,
        claimed_lipschitz_bound=claim.lipschitz_bound,
        lower=judged.samples.lower,
        claimed_lower=claim.samples_lower,
        population_lower=judged.population.lower,
        claimed_population_lower=claim.population_lower,
        confidence=claim.confidence,
        endless=pair.a.digest is None or pair.b.digest is None,
    )


def _weights(frozen: FrozenCritic, claim: Claim, bound: float) -> tuple[Check, ...]:
    same = frozen.digest() == claim.critic_digest
    # Another machine's products round otherwise, within the margin that every bound contains; more means other weights or claims.
    holds = math.isclose(bound, claim.lipschitz_bound, rel_tol=_AGREEMENT)
    return (
        Check(what="weights", ok=same, detail="are those that were saved" if same else "were changed after they were saved"),
        Check(
            what="certificate",
            ok=holds,
            detail=f"Lipschitz constant at most {bound!r}" + ("" if holds else f", not the claimed {claim.lipschitz_bound!r}"),
        ),
    )


def _features(space: FeatureSpace | None, claim: Claim) -> tuple[Check, ...]:
    if space is None and claim.features is None:
        return ()
    if space is None or claim.features is None:
        return (Check(what="features", ok=False, detail="are given, and the claim was made for the samples themselves"),)
    same = space.facts.digest == claim.features_digest
    detail = "of the function that the claim was made for" if same else "of another function, or its file was changed"
    return (Check(what="features", ok=same, detail=detail),)


def _samples(pair: Pair, claim: Claim) -> tuple[Check, ...]:
    findings = []
    for name, measure, digest in (("samples A", pair.a, claim.digest_a), ("samples B", pair.b, claim.digest_b)):
        if measure.digest is None and digest is None:
            findings.append(Check(what=name, ok=True, detail="are drawn anew from the seed"))
        else:
            same = measure.digest == digest
            detail = "are those that the claim was made for" if same else "are not those that the claim was made for"
            findings.append(Check(what=name, ok=same, detail=detail))
    return tuple(findings)


def _numbers(judged: Judgement, claim: Claim) -> tuple[Check, ...]:
    pairs = (
        ("lower bound, samples", judged.samples.lower, claim.samples_lower),
        ("lower bound, populations", judged.population.lower, claim.population_lower),
    )
    findings = []
    for name, found, claimed in pairs:
        agrees = math.isclose(found, claimed, rel_tol=_AGREEMENT, abs_tol=0.0) or found == claimed
        findings.append(Check(what=name, ok=agrees, detail=f"{found!r}" + ("" if agrees else f", not the claimed {claimed!r}")))
    return tuple(findings)


def save_critic(estimate: Estimate, path: str | Path) -> None:
    """Saves the main critic of an estimate with what it proves, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    from wdist.files import atomic_write

    atomic_write(Path(path), serialise_critic(estimate))
