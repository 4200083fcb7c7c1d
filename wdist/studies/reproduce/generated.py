"""Figures 15 and 17: images of generators that were trained against the paper's critics.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, figure 15, appendix G.2; figure 17, appendix H.3.
    Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville (2017), Improved training of Wasserstein GANs, arXiv:1704.00028.
    Chen et al. (2016), InfoGAN, arXiv:1606.03657, appendix C (the networks of figure 17).
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wdist.checkpoints.checkpoint import current
from wdist.data.access import Access
from wdist.data.rows import ResidentRows
from wdist.data.sources.arrays import open_values
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import EndlessSource, random_stream
from wdist.errors import UsageError
from wdist.gan.game import Game
from wdist.gan.images import Images, image_page, load_images
from wdist.gan.settings import CRITICS, GanSettings
from wdist.gan.training import Checkpoint, train_gan
from wdist.studies.panels import Mosaic
from wdist.studies.progress import complete
from wdist.studies.reproduce.image_sets import TITLES, address_of, available
from wdist.studies.study import ClaimCheck, Conclusion, Conditions, ReproducedNumber, Study
from wdist.training.observer import StageProgress
from wdist.transport.coupling import Effort, Sides
from wdist.transport.samples import upper_bound

LEAKY, MAXMIN = "gradient-penalty", "gradient-penalty-maxmin"
CRITIC_OF_17 = "groupsort-conv"
WORDS = {LEAKY: "leaky ReLU", MAXMIN: "MaxMin", CRITIC_OF_17: "MaxMin, orthonormal"}
"""Critic -> description of its activation and weights."""
SHOWN, COLUMNS = 24, 8
COMPARED = 1000
"""Number of images a side between which W1 is computed, exactly and in a few tenths of a second."""
_EFFORT = Effort(seconds=20.0)
_DATA_STREAM, _GENERATED_STREAM = 21, 22
_SAME, _NEARER = 1.1, 0.8
"""Largest ratios of two distances at which images count as equally near, and as nearer."""


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    """Sizes of networks and trainings."""

    width: int
    critic_width: int
    batch_size: int
    steps: int


_FULL = _Sizes(width=128, critic_width=1024, batch_size=64, steps=9400)
_QUICK = _Sizes(width=32, critic_width=256, batch_size=64, steps=400)


def _sizes(conditions: Conditions) -> _Sizes:
    return _QUICK if conditions.quick else _FULL


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A data set that generators learn from."""

    name: str
    address: str
    images: Images

    @property
    def title(self) -> str:
        return TITLES[self.name]

    def some(self, seed: int) -> Tensor:
        """Random images, float32, shape (n, dim): twice as many as are compared, or all if there are fewer."""
        order = torch.randperm(self.images.rows.count, generator=random_stream(seed, _DATA_STREAM, 0))[: 2 * COMPARED]
        return self.images.rows.take(order, torch.float32)


def _columns(conditions: Conditions, default: tuple[str, ...], known: tuple[str, ...]) -> tuple[list[_Column], list[str]]:
    """The available data sets, and a sentence for each that is left out."""
    study = "figure17" if len(default) > 1 else "figure15"
    if conditions.generators:
        raise UsageError(f"{study} trains its own generators; leave out --generator")
    for name in conditions.sources:
        if name not in known:
            raise UsageError(f"{study} has no data {name!r}; write {' or '.join(f'--data {each}=ADDRESS' for each in known)}")
    access = Access(trust=conditions.trust, download=conditions.download)

    def loaded(name: str) -> _Column:
        address = address_of(name, conditions)
        return _Column(name=name, address=address, images=load_images(address, access, seed=conditions.seed))

    return available(conditions.sources or default, loaded, required=conditions.sources)


def _generated(column: _Column, critic: str, conditions: Conditions) -> dict[str, Tensor]:
    """Trains a generator; returns images of it and of the untrained one, and the final bound of the critic (nan for none)."""
    sizes, label = _sizes(conditions), f"{column.title}, {WORDS[critic]}"
    part = current().part(f"generator on {label}, seed {conditions.seed}")
    if part.result is not None:
        return part.result
    conditions.announce(f"training a generator on {label}, {sizes.steps} steps")

    def progress(checkpoint: Checkpoint) -> None:
        conditions.observer.notify(StageProgress(fraction=checkpoint.fraction))

    settings = GanSettings(
        data=column.address,
        critic=critic,
        width=sizes.width,
        critic_width=sizes.critic_width,
        batch_size=sizes.batch_size,
        seed=conditions.seed,
    )
    access = Access(trust=conditions.trust, download=conditions.download)
    with tempfile.TemporaryDirectory(prefix="wdist-") as folder:
        how: Any = {"steps": sizes.steps, "device": conditions.device, "access": access, "observer": progress}
        result = complete(train_gan(Path(folder) / "run", settings, **how))
        source = open_source(result.generator, Access(), seed=conditions.seed)
        assert isinstance(source, EndlessSource)
        stream = random_stream(conditions.seed, _GENERATED_STREAM, 0)
        images = source.draw(COMPARED, stream).float()
    lower = result.measured[-1].lower
    untrained = Game(settings, column.images, torch.device("cpu")).averaged()
    with torch.no_grad():
        first = untrained(torch.randn(COMPARED, settings.latent, generator=stream)).flatten(1)
    found = {"images": images, "first": first, "lower": torch.tensor(float("nan") if lower is None else lower, dtype=torch.float64)}
    part.finish(found)
    return found


def distance(x: Tensor, y: Tensor) -> float:
    """W1 between two sets of equally many flattened images."""
    a, b = (ResidentRows(values=side, info=open_values(side).info) for side in (x.double(), y.double()))
    coupling = upper_bound(Sides(a=a, b=b), effort=_EFFORT, seed=0)
    assert coupling is not None
    return coupling.cost


def _mosaic(column: _Column, title: str, images: Tensor) -> Mosaic:
    shown = images[:SHOWN].unflatten(1, column.images.event_shape)
    return Mosaic(title=f"{column.title}: {title}", pixels=image_page(shown, columns=COLUMNS))


def _settings(conditions: Conditions, columns: list[_Column], critic: str) -> dict[str, str | int | float]:
    return {
        **vars(_sizes(conditions)),
        "critic steps for each step": CRITICS[critic].critic_steps,
        "learning rates": f"{CRITICS[critic].learning_rate:g}, critic {CRITICS[critic].critic_learning_rate:g}",
        **{f"{column.title} images": column.images.rows.count for column in columns},
        "images compared": COMPARED,
    }


_PICTURES = (
    f"The paper shows pictures only; the distances are ours: W1 between {COMPARED:,} generated images and as many images that the "
    "generator learns from. Blurred images can be nearer to the data than other images of the data."
)


def _figure15(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    columns, skipped = _columns(conditions, ("mnist",), ("mnist", "cifar10", "celeba"))
    panels, checks = [], []
    for column in columns:
        data, found = column.some(conditions.seed), dict[str, float]()
        for critic in (LEAKY, MAXMIN):
            images = _generated(column, critic, conditions)["images"]
            found[critic] = distance(data[:COMPARED], images)
            panels.append(_mosaic(column, f"{WORDS[critic]} critic", images))
            yield ReproducedNumber(row=f"{WORDS[critic]} critic", column=f"{column.title}, W1 to the data", ours=found[critic])
        yield _floor(column, data)
        checks.append(
            ClaimCheck(
                claim=f"{column.title}: MaxMin is a drop-in replacement for ReLU in critics with a gradient penalty (ours: the "
                "images are as near to the data, to a tenth, or nearer).",
                holds=found[MAXMIN] <= _SAME * found[LEAKY],
                detail=f"W1 {found[MAXMIN]:.2f} against {found[LEAKY]:.2f}",
            )
        )
    shown = " and ".join(column.title for column in columns)
    stand_in = "" if any(column.name == "celeba" for column in columns) else f", not {shown}, which stands in for it"
    yield Conclusion(
        settings=_settings(conditions, columns, LEAKY),
        checks=tuple(checks),
        panels=tuple(panels),
        remarks=(
            *skipped,
            f"The paper's images are faces of CelebA{stand_in}; name images with --data celeba=ADDRESS.",
            "The critic has two convolutions and two dense layers; that of the paper has five convolutions.",
            _PICTURES,
        ),
    )


def _figure17(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    columns, skipped = _columns(conditions, ("mnist", "cifar10"), ("mnist", "cifar10"))
    panels, checks = [], []
    for column in columns:
        data, found = column.some(conditions.seed), _generated(column, CRITIC_OF_17, conditions)
        last, first = (distance(data[:COMPARED], found[name]) for name in ("images", "first"))
        panels.append(_mosaic(column, "MaxMin, orthonormal critic", found["images"]))
        for row, ours in (("generator", last), ("generator before its training", first)):
            yield ReproducedNumber(row=row, column=f"{column.title}, W1 to the data", ours=ours)
        yield _floor(column, data)
        yield ReproducedNumber(row="generator", column=f"{column.title}, proved by its critic", ours=float(found["lower"]))
        checks.append(
            ClaimCheck(
                claim=f"{column.title}: a critic of units that preserve the norm of gradients trains a generator (ours: W1 to the "
                "data falls by a fifth or more).",
                holds=last <= _NEARER * first,
                detail=f"from {first:.2f} to {last:.2f}; the critic proves at least {float(found['lower']):.3f}",
            )
        )
    yield Conclusion(
        settings=_settings(conditions, columns, CRITIC_OF_17),
        checks=tuple(checks),
        panels=tuple(panels),
        remarks=(*skipped, "The paper does not state steps, latent sizes or learning rates.", _PICTURES),
    )


def _floor(column: _Column, data: Tensor) -> ReproducedNumber:
    """The row with the distance between two parts of the data."""
    half = len(data) // 2
    return ReproducedNumber(
        row="other images of the data", column=f"{column.title}, W1 to the data", ours=distance(data[:half], data[half : 2 * half])
    )


def _operations(quick: bool, generators: int, passes: float) -> float:
    sizes = _QUICK if quick else _FULL
    one = 1.6e9 * (sizes.width / 32) * (sizes.critic_width / 256) * (sizes.batch_size / 64)  # one pass and back
    return generators * sizes.steps * passes * one


_REDUCED = (
    f"generators of width {_QUICK.width} instead of {_FULL.width}",
    f"critics of width {_QUICK.critic_width} instead of {_FULL.critic_width}",
    f"{_QUICK.steps} steps instead of {_FULL.steps}",
)
FIGURE15 = Study(
    name="figure15",
    title="Images of WGAN-GP models, leaky ReLU beside MaxMin",
    source="figure 15, appendix G.2",
    measure=_figure15,
    operations=lambda quick: _operations(quick, generators=2, passes=6.0),
    reduced=_REDUCED,
    takes_data=True,
)
FIGURE17 = Study(
    name="figure17",
    title="Images of WGANs whose critics preserve the norm of gradients",
    source="figure 17, appendix H.3",
    measure=_figure17,
    operations=lambda quick: _operations(quick, generators=2, passes=4.0),
    reduced=_REDUCED,
    takes_data=True,
)
