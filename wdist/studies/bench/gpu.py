"""A GPU beside the CPU of its machine: agreement of results, and the speed of training, pricing, evaluation and features.

Both sides get the same input: critics with the same weights, the same potentials, trainings from the same start with equally many
steps. The speed of a step is compared with the device's rate for the first layer's product, in the same precision. Certificates are
computed in float64 on the CPU, whatever the precision of the steps. With ``--device cpu`` both sides are the CPU.

References:
    The PyTorch manual, CUDA semantics: TF32, CUDA graphs, asynchronous execution.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wdist.bounds.certificate import certify
from wdist.bounds.dual import dual_value, evaluate, lower_bound
from wdist.critics.critic import Critic
from wdist.critics.frozen import FrozenCritic, Potentials
from wdist.data.features.space import FeatureRows, FunctionSpace
from wdist.data.sources.opening import open_source
from wdist.data.sources.pairs import gaussian_shift
from wdist.data.sources.torchvision_dataset import import_torchvision
from wdist.data.standardisation import Standardisation
from wdist.environment import choose_device
from wdist.errors import DeviceError, first_line
from wdist.ground_metric import L2
from wdist.lipschitz.bjorck import OrthonormalLinear
from wdist.lipschitz.linalg.rounding import float32_products, tf32_products
from wdist.studies.bench.schemes import CPU, DualTraining, Shape, stack
from wdist.studies.progress import estimated
from wdist.studies.study import ClaimCheck, Column, Conclusion, Conditions, Skipped, Study, StudyTable, percent
from wdist.training.optimizers import Optimizing, make_optimizers
from wdist.transport.pricing import Priced, Pricing

FLOAT32, TF32, BFLOAT16 = "float32", "TF32", "bfloat16"
TRAINING, EAGER, CAPTURED = "training", "eager", "captured"
_DEVICE_TARGETS = {"share": 0.6, "speedup": 10.0}
"""Targets: share of the product rate on the largest network, and speed-up of a whole training over the CPU."""
_CYCLE = 4
"""Number of steps per return to the constraint."""
_REPETITIONS = 5
_POTENTIALS_ROUNDED, _BOUNDS_APART, _FEATURES_APART = 1e-9, 0.02, 0.01
"""Allowed relative differences between bounds from transport, between bounds of two trainings, and between features in TF32."""
_AT_ONCE, _FEWEST_IMAGES = 4096, 256


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of all measurements."""

    shapes: tuple[tuple[Shape, int], ...]
    """Networks with their batches, in samples per side; the targets are about the last one."""
    block_seconds: float
    evaluated: int
    """Number of samples on each side whose potentials are computed."""
    priced: tuple[int, int]
    """Number of samples on each side in transport, and their dimension."""
    images: tuple[int, int]
    """Number of images whose features are computed, and pixels along their sides."""
    steps: int
    """Steps of a whole training, on the last network."""


def _shape(inputs: int, width: int, group_size: int) -> Shape:
    return Shape(inputs=inputs, width=width, depth=4, group_size=group_size)


_TARGET = (_shape(3072, 1024, 16), 4096)
FULL = Sizes(
    shapes=((_shape(64, 256, 16), 512), (_shape(784, 720, 9), 512), (_shape(3072, 1024, 2), 4096), _TARGET),
    block_seconds=0.5,
    evaluated=20_000,
    priced=(50_000, 64),
    images=(50_000, 64),
    steps=300,
)
QUICK = Sizes(
    shapes=((_shape(64, 256, 16), 512), _TARGET), block_seconds=0.1, evaluated=4096, priced=(8192, 64), images=(256, 64), steps=12
)


@dataclass(frozen=True, kw_only=True)
class AgreementRow:
    """One number, computed on both sides."""

    name: str
    on_cpu: float
    on_device: float
    apart: float
    """Largest difference."""
    allowed: float
    """Difference that rounding or another order of summation explains."""

    @property
    def agrees(self) -> bool:
        """Whether the difference is allowed; False for nan."""
        return self.apart <= self.allowed


@dataclass(frozen=True, kw_only=True)
class GpuStepRow:
    """Training steps of one network in one precision."""

    shape: str
    group_size: int
    batch: int
    precision: str
    how: str
    milliseconds: float
    rate: float
    """Largest rate of the first layer's product in this precision, in TFLOP/s."""
    share: float
    """Rate of the products that every scheme needs, over this largest rate."""
    lipschitz_bound: float
    """Certificate after these steps."""
    bound: float
    """Lower bound that the critic then proves on fresh samples."""
    memory: float | None
    """Peak memory on the device in MB; None on the CPU."""


@dataclass(frozen=True, kw_only=True)
class WorkRow:
    """Speed of one kind of work on both sides."""

    name: str
    unit: str
    on_cpu: float
    on_device: float
    """Units of work per second."""
    memory: float | None

    @property
    def speedup(self) -> float:
        return self.on_device / self.on_cpu


Row = AgreementRow | GpuStepRow | WorkRow


def _measure(conditions: Conditions) -> Iterator[Row | Skipped]:
    device = choose_device(conditions.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    elif conditions.device == "auto":
        raise DeviceError("torch finds no GPU on this machine to compare with its CPU; --device cpu compares the CPU with itself")
    smaller = QUICK if device.type == "cuda" else replace(QUICK, shapes=QUICK.shapes[:1])
    yield from measured(conditions, device, smaller if conditions.quick else FULL)


def measured(conditions: Conditions, device: torch.device, sizes: Sizes) -> Iterator[Row | Skipped]:
    """All selected rows for a device and sizes; a row that torch cannot compute there is skipped with the reason."""
    for name, work in _works(device, sizes, conditions.seed):
        if conditions.wanted(name):
            conditions.announce(name)
            yield from conditions.rows(name, partial(_attempted, name, work))


def _works(device: torch.device, sizes: Sizes, seed: int) -> Iterator[tuple[str, Callable[[], Iterator[Row]]]]:
    for work in (evaluations, pricings, features, trainings):
        yield work.__name__, partial(work, device, sizes, seed)
    ways = [(TF32 if device.type == "cuda" else FLOAT32, TRAINING)]
    for precision in (FLOAT32, TF32, BFLOAT16) if device.type == "cuda" else (FLOAT32, BFLOAT16):
        ways += [(precision, how) for how in ((EAGER, CAPTURED) if device.type == "cuda" else (EAGER,))]
    for shape, batch in sizes.shapes:
        for precision, how in ways:
            name = f"steps {shape} group {shape.group_size} batch {batch} {precision} {how}"
            yield name, partial(steps, shape, batch, precision, how, device, sizes, seed)


def _attempted(name: str, work: Callable[[], Iterator[Row]]) -> Iterator[Row | Skipped]:
    try:
        yield from work()
    except RuntimeError as error:
        yield Skipped(name=name, reason=first_line(error))


def _now(device: torch.device) -> float:
    """Wall-clock time, read when the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _seconds(work: Callable[[], object], device: torch.device, *, least: float) -> float:
    """Median seconds of one call, after a warm-up call, over repetitions that together last about ``least`` seconds."""
    began = _now(device)
    work()
    first = _now(device) - began
    calls = max(1, round(least / _REPETITIONS / max(first, 1e-6)))
    taken = []
    for _ in range(_REPETITIONS):
        began = _now(device)
        for _ in range(calls):
            work()
        taken.append((_now(device) - began) / calls)
    return median(taken)


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> float | None:
    """Peak memory on the device in MB."""
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None


def _normals(count: int, dim: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two sides, float64, shape (count, dim), of norm about 1."""
    a, b = torch.randn(2, count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) / dim**0.5
    return a, 0.8 * b + 0.3 / dim**0.5


def evaluations(device: torch.device, sizes: Sizes, seed: int) -> Iterator[Row]:
    """Evaluates one critic in float64 on both sides: dual value, bound, and samples per second."""
    shape, _ = sizes.shapes[-1]
    critic = _frozen(stack(OrthonormalLinear, shape, torch.Generator().manual_seed(seed)), shape)
    sides, K = _normals(sizes.evaluated, shape.inputs, seed), certify(critic).lipschitz_bound
    _reset_peak(device)
    found: list[tuple[Potentials, Potentials]] = []
    speeds = []
    for place in (CPU, device):
        a, b = (side.to(place) for side in sides)
        evaluate(critic, a[:1].split(1))  # warm-up: copies the weights
        began = _now(place)
        found.append((evaluate(critic, a.split(_AT_ONCE)), evaluate(critic, b.split(_AT_ONCE))))
        speeds.append(2 * sizes.evaluated / (_now(place) - began))
    rounding = sum(each.rounding for both in found for each in both)
    values = [dual_value(*each) for each in found]
    if values[0] < 0:
        values, found = [-value for value in values], [(b, a) for a, b in found]
    apart = max(float(np.abs(mine.values - its.values).max()) for mine, its in zip(*found, strict=True))
    yield _agreement("held-out dual value", values[0], values[1], allowed=rounding)
    yield AgreementRow(name="largest difference of a potential", on_cpu=0.0, on_device=apart, apart=apart, allowed=rounding)
    bounds = [lower_bound(*each, K) for each in found]
    yield _agreement("proved bound", bounds[0], bounds[1], allowed=8 * rounding)
    yield WorkRow(name=f"evaluation, {shape}, float64", unit="samples", on_cpu=speeds[0], on_device=speeds[1], memory=_peak(device))


def _agreement(name: str, on_cpu: float, on_device: float, *, allowed: float) -> AgreementRow:
    return AgreementRow(name=name, on_cpu=on_cpu, on_device=on_device, apart=abs(on_cpu - on_device), allowed=allowed)


def pricings(device: torch.device, sizes: Sizes, seed: int) -> Iterator[Row]:
    """Prices all pairs on both sides with the same slightly too steep potentials: lower bounds, and pairs per second."""
    count, dim = sizes.priced
    x, y = _normals(count, dim, seed)
    u, v = (1.01 * sign * torch.linalg.vector_norm(side, dim=1).numpy() for sign, side in ((1, x), (-1, y)))
    mass = np.full(count, 1 / count)
    _reset_peak(device)
    found: list[Priced] = []
    speeds = []
    for place in (CPU, device):
        pricing = Pricing(x, y, L2, device=place)
        began = _now(place)
        found.append(pricing.below(u, v))
        speeds.append(count**2 / (_now(place) - began))
    lower, on_device = (each.dual_value(u, v, mass, mass) for each in found)
    yield _agreement("lower end of transport", lower, on_device, allowed=_POTENTIALS_ROUNDED * max(1.0, abs(lower)))
    name = f"pricing, {count} samples a side in {dim} dimensions"
    yield WorkRow(name=name, unit="pairs", on_cpu=speeds[0], on_device=speeds[1], memory=_peak(device))


def features(device: torch.device, sizes: Sizes, seed: int) -> Iterator[Row]:
    """Computes features of images by a residual network with random weights; the CPU computes only some of them."""
    count, side = sizes.images
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = import_torchvision("torchvision.models").resnet18(weights=None)
    part = max(min(count, _FEWEST_IMAGES), count // 20)
    images = np.random.default_rng(seed).random((count, 3, side, side), dtype=np.float32)
    _reset_peak(device)
    found, speeds = [], []
    for place, some in ((CPU, images[:part]), (device, images)):
        space, source = FunctionSpace(network, name="resnet18", device=place), open_source(some)
        space.of(open_source(some[:1]))  # warm-up
        began = _now(place)
        mapped = space.of(source)
        assert isinstance(mapped, FeatureRows), "arrays are finite"
        found.append(mapped.read(slice(0, part)))
        speeds.append(len(some) / (_now(place) - began))
    mine, its = found
    largest, apart = float(mine.abs().max()), float((mine - its).abs().max())
    yield AgreementRow(
        name="largest feature", on_cpu=largest, on_device=float(its.abs().max()), apart=apart, allowed=_FEATURES_APART * largest
    )
    name = f"features of images {side}x{side}, resnet18"
    yield WorkRow(name=name, unit="images", on_cpu=speeds[0], on_device=speeds[1], memory=_peak(device))


def trainings(device: torch.device, sizes: Sizes, seed: int) -> Iterator[Row]:
    """Trains for the same number of steps on both sides: held-out estimates, and trainings per second."""
    shape, batch = sizes.shapes[-1]
    pair = gaussian_shift(shape.inputs, 1.0)
    a, b = (side.draw(2 * batch, torch.Generator().manual_seed(seed + n)).float() for n, side in enumerate((pair.a, pair.b)))
    _reset_peak(device)
    how: Any = {"width": shape.width, "depth": shape.depth, "group_size": shape.group_size, "batch_size": batch, "seed": seed}
    found = []
    for place in (CPU, device):
        for count in (_CYCLE, sizes.steps):  # the first is a warm-up
            result = estimated(
                a.numpy(),
                b.numpy(),
                critic="groupsort-bjorck",
                baselines="none",
                couplings=False,
                steps=count,
                device=str(place),
                **how,
            )
        found.append(result.critic)
    mine, its = (each.population.estimate for each in found)
    yield _agreement(f"held-out estimate after {sizes.steps} steps", mine, its, allowed=_BOUNDS_APART * abs(mine))
    speeds = [1 / max(each.seconds, 1e-9) for each in found]
    name = f"training of {sizes.steps} steps, {shape}, batch {batch}"
    yield WorkRow(name=name, unit="trainings", on_cpu=speeds[0], on_device=speeds[1], memory=_peak(device))


def steps(
    shape: Shape, batch: int, precision: str, how: str, device: torch.device, sizes: Sizes, seed: int
) -> Iterator[GpuStepRow]:
    """Times steps of one network in one precision: wdist's own steps, or the bare calls, eager or captured as a CUDA graph."""
    dtype = torch.bfloat16 if precision == BFLOAT16 else torch.float32
    critic = stack(OrthonormalLinear, shape, torch.Generator().manual_seed(seed)).to(device, dtype)
    training = DualTraining(critic, make_optimizers(critic, name="muon", learning_rate=0.02))
    a, b = (side.to(device, dtype) for side in _normals(batch, shape.inputs, seed))
    _reset_peak(device)
    with _products(precision, device):
        rate = product_rate(2 * batch, shape, device, dtype, sizes.block_seconds)
        cycle = partial(_cycle, training, a, b) if how == TRAINING else partial(_plain_cycle, critic, training.optimizers, a, b)
        seconds = _seconds(captured(cycle) if how == CAPTURED else cycle, device, least=sizes.block_seconds) / _CYCLE
    frozen = _frozen(critic.float(), shape)
    of_a, of_b = (evaluate(frozen, side.to(device).split(_AT_ONCE)) for side in _normals(batch, shape.inputs, seed + 1))
    K = certify(frozen).lipschitz_bound
    yield GpuStepRow(
        shape=str(shape),
        group_size=shape.group_size,
        batch=batch,
        precision=precision,
        how=how,
        milliseconds=1e3 * seconds,
        rate=rate / 1e12,
        share=shape.operations(2 * batch) / seconds / rate,
        lipschitz_bound=K,
        bound=lower_bound(of_a, of_b, K),
        memory=_peak(device),
    )


def _products(precision: str, device: torch.device) -> AbstractContextManager[None]:
    if device.type != "cuda":
        return nullcontext()
    return tf32_products() if precision == TF32 else float32_products()


def _cycle(training: DualTraining, a: Tensor, b: Tensor) -> None:
    for _ in range(_CYCLE):
        training.step(a, b)


def _plain_cycle(critic: Critic, optimizers: Sequence[Optimizing], a: Tensor, b: Tensor) -> None:
    """The calls of one cycle of training steps, without reads from the device and without adaptation."""
    for _ in range(_CYCLE):
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        potentials = critic(torch.cat([a, b]))
        (potentials[len(a) :].mean() - potentials[: len(a)].mean()).backward()
        for optimizer in optimizers:
            optimizer.step()
    critic.constrain_()


def captured(work: Callable[[], None]) -> Callable[[], None]:
    """The same work as one CUDA graph, captured after three runs on a separate stream."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def product_rate(rows: int, shape: Shape, device: torch.device, dtype: torch.dtype, least: float) -> float:
    """Operations per second of a matrix product of the first layer's size, with random numbers."""
    h, W = (torch.randn(count, shape.inputs, device=device).to(dtype) for count in (rows, shape.width))
    return 2.0 * rows * shape.inputs * shape.width / _seconds(lambda: torch.mm(h, W.mT), device, least=least / 4)


def _frozen(critic: Critic, shape: Shape) -> FrozenCritic:
    critic.eval()
    critic.constrain_(tightly=True)
    return critic.freeze(Standardisation(shift=torch.zeros(shape.inputs, dtype=torch.float64), spread=1.0))


def conclude(rows: Sequence[Row]) -> Conclusion:
    """Checks whether both sides agree and, on a GPU, whether it is as fast as it should be."""
    on_gpu = any(row.memory is not None for row in rows if not isinstance(row, AgreementRow))
    remarks = [
        "Steps: as wdist trains; the same calls without reads from the device (eager); and these as one CUDA graph (captured). The "
        "share is of the rate of the first layer's product in the same precision."
    ]
    if not on_gpu and not all(isinstance(row, AgreementRow) for row in rows):
        remarks.insert(0, "Both sides are the CPU.")
    return Conclusion(checks=tuple(_checks(rows, on_gpu=on_gpu)), remarks=tuple(remarks))


def _checks(rows: Sequence[Row], *, on_gpu: bool) -> Iterator[ClaimCheck]:
    if agreements := [row for row in rows if isinstance(row, AgreementRow)]:
        wrong = [row.name for row in agreements if not row.agrees]
        detail = f"{len(wrong)} of {len(agreements)} do not" + (f": {', '.join(wrong)}" if wrong else "")
        yield ClaimCheck(claim="Both sides agree.", holds=not wrong, detail=detail)
    if timed := [row for row in rows if isinstance(row, GpuStepRow)]:
        loose = max(row.lipschitz_bound for row in timed) - 1
        claim = "In every precision, the certificate is 1 up to rounding."
        yield ClaimCheck(claim=claim, holds=loose < 1e-9, detail=f"at most 1 + {max(loose, 0.0):.1e}")
    if on_gpu and timed:
        last = timed[-1]
        widest = [row for row in timed if (row.shape, row.group_size, row.batch) == (last.shape, last.group_size, last.batch)]
        best, target = max(widest, key=lambda row: row.share), _DEVICE_TARGETS["share"]
        claim = f"Steps of {best.shape}, batch {best.batch}, reach {percent(target, 0)} of the product rate."
        yield ClaimCheck(claim=claim, holds=best.share >= target, detail=f"{percent(best.share)}: {best.precision}, {best.how}")
    whole = [row for row in rows if isinstance(row, WorkRow) and row.unit == "trainings"]
    if on_gpu and whole:
        target = _DEVICE_TARGETS["speedup"]
        claim = f"The GPU trains {target:g} times as fast as the CPU."
        yield ClaimCheck(claim=claim, holds=whole[0].speedup >= target, detail=f"{whole[0].speedup:.1f} times")


STUDY = Study(
    name="gpu",
    title="A GPU beside the CPU: agreement, speed and memory",
    measure=_measure,
    conclude=conclude,
    tables=(
        StudyTable(
            "the same numbers on both sides",
            AgreementRow,
            Column("number", "name"),
            Column("CPU", "on_cpu"),
            Column("device", "on_device"),
            *Column.named("apart", "allowed"),
        ),
        StudyTable(
            "work a second",
            WorkRow,
            Column("work", "name"),
            Column("unit"),
            Column("CPU", "on_cpu"),
            Column("device", "on_device"),
            Column("times\nthe CPU", "speedup"),
            Column("peak\nMB", "memory"),
        ),
        StudyTable(
            "training steps on the device",
            GpuStepRow,
            Column("network", "shape"),
            Column("group", "group_size"),
            Column("batch"),
            Column("in", "precision"),
            Column("how"),
            Column("milli-\nseconds", "milliseconds"),
            Column("product\nTFLOP/s", "rate"),
            Column("share\nof it", "share", "share"),
            Column("bound", kind="at least"),
            Column("peak\nMB", "memory"),
        ),
    ),
    reduced=("2 networks instead of 4", "fewer samples, images and steps"),
)
