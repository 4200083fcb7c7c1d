"""A critic: its bounds, its certificate, and how it came about."""

from __future__ import annotations

from pydantic import Field

from wdist.report.documents.bounds import PopulationDocument, SamplesDocument
from wdist.report.documents.document import Document, Number, Setting


class LayerDocument(Document):
    """One factor of a certificate."""

    layer: str
    bound: Number
    method: str


class HistoryDocument(Document):
    """One validation during training, in the units of the data."""

    step: int
    seconds: float
    training: Number
    validation: Number


class RepeatsDocument(Document):
    """What further seeds came to, on the same split; only the spread is taken from here."""

    seeds: list[int] = Field(description="The first is that of the bounds.")
    estimates: list[float] = Field(description="Held-out estimate of each seed.")
    estimate_mean: float
    estimate_deviation: Number = Field(description="Standard deviation of one seed's held-out estimate.")
    lowers: list[float] = Field(description="Lower bound for the samples of each seed.")
    lower_mean: float
    lower_deviation: Number = Field(description="Standard deviation of one seed's lower bound for the samples.")


class AttemptDocument(Document):
    """One critic that was tried before one was chosen."""

    name: str
    validation: Number = Field(
        description="What the choice was made by: dual value on the validation split, divided by the certificate. Not a bound."
    )
    seconds: float
    steps: int
    chosen: bool


class CriticDocument(Document):
    """The main critic: that which was chosen, named, or proves most of those that were compared."""

    name: str
    title: str = Field(description="The name in a few words.")
    lipschitz_bound: Number = Field(description="The certificate: an upper bound of the critic's Lipschitz constant.")
    certified: bool = Field(description="Whether the bounds are proved; where false, no value of this critic is a bound.")
    steps: int
    seconds: float
    parameters: int
    samples: SamplesDocument = Field(
        description="The interval with this critic's own lower bound; that of the result may be tighter."
    )
    tried: list[AttemptDocument] = Field(description="What it was chosen from; empty where the user named the critic.")
    bound_by_construction: bool = Field(description="Whether the layers were kept from stretching in training.")
    raw_value: Number = Field(
        description="NOT A BOUND: held-out dual value before any division, of a critic that nothing constrained; null for others."
    )
    largest_slope: Number = Field(description="The critic's Lipschitz constant from below, by a search; null where none was made.")
    repeats: RepeatsDocument | None = Field(description="Further seeds; null unless --repeats asked for them.")
    training_value: Number = Field(description="Dual value on the training split; not a bound for the distributions.")
    converged: bool
    interrupted: bool
    settings: dict[str, Setting]
    layers: list[LayerDocument]
    history: list[HistoryDocument]


class BaselineDocument(CriticDocument):
    """Another critic, trained on the same split with the same budget, and its own bounds."""

    population: PopulationDocument
