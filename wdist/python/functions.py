"""The functions of ``import wdist``: the commands with tensors, arrays or addresses, and with keyword arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import wdist  # whose classes are imported when typing.get_type_hints asks for them
from wdist.arguments import accepted, read_shard
from wdist.data.access import Access
from wdist.data.sources.source import Source
from wdist.errors import UsageError
from wdist.estimation.options import EstimateArguments, EstimateOptions
from wdist.gates.limits import On
from wdist.python.calls import Listener, keeping, library_function, listening, named
from wdist.studies.study import StudyResult


@library_function
def estimate(
    a: Any,
    b: Any,
    *,
    truth: float | None = None,
    progress: bool | None = None,
    observer: Listener | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    **arguments: Unpack[EstimateArguments],
) -> wdist.Estimate:
    r"""Bounds the Wasserstein-1 distance between two sample sets, and between the populations behind them.

    A critic f with a proved Lipschitz constant K is trained to make E_A f - E_B f large; by Kantorovich-Rubinstein duality that
    difference over K is a lower bound for W1, however the training went. For the two sample sets the critic is evaluated on all
    samples, and the bound is certain; for the populations it is evaluated on held-out samples, and the bound holds at
    ``confidence``. The upper bound for the sample sets is the cost of an explicit coupling; if that is optimal, its dual variables
    give a critic that closes the gap from below. The upper bound for the populations follows from couplings of independent blocks.

    Arguments:
        a, b: two addresses (``a.h5``, ``synthetic:gaussian?dim=10``), tensors, arrays or open sources; the first axis counts
            samples.
        truth: the known W1 between the populations, shown beside the bounds.
        progress: whether to show progress; by default only in terminals and notebooks.
        observer: receives progress events: a function of an event, or an object with ``notify(event)``. Critics that are trained
            side by side on several cores send only the fraction done and each critic that is found.
        checkpoint: folder where the state of the run is saved every minute.
        resume: continues the run in that folder, with the same data and options.
        arguments: options by name: the fields of :class:`~wdist.estimation.options.EstimateOptions`,
            :class:`~wdist.data.access.Access` and :class:`~wdist.critics.settings.CriticSettings`. A budget is a number of seconds,
            ``"2m"``, a ``timedelta`` or a :class:`wdist.Budget`; ``steps=`` limits training steps instead.

    Returns:
        The estimate, in the units of the data. After Ctrl-C: what was proved so far, with ``interrupted`` set.

    Raises:
        WdistError: bad input, a missing device, or a training that diverged before anything was proved.

    References:
        Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 7.2.
    """
    from wdist.estimation.estimate import run_estimate

    options = EstimateOptions.validated(**arguments)
    truth = accepted("truth", truth, float, None)
    with keeping(checkpoint, resume, "estimate", options), listening(progress, observer) as watcher:
        first, second = _sides(options, A=a, B=b)
        return run_estimate(first, second, options, observer=watcher, truth=truth)


@library_function
def compare(
    reference: Any,
    sources: Sequence[Any],
    *,
    names: Sequence[str] | None = None,
    witnesses: int = 0,
    shard: str | None = None,
    progress: bool | None = None,
    observer: Listener | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    **arguments: Unpack[EstimateArguments],
) -> wdist.Comparison:
    r"""Ranks sources by their Wasserstein-1 distance from a reference.

    Every source is compared with the same samples of the reference, with the same seed and an equal share of the budget; its result
    is, digit for digit, that of :func:`wdist.estimate` at the confidence below. The noise floor shows which differences the number
    of samples cannot resolve: it compares the reference with itself, as two disjoint halves of a finite set or two streams of
    draws, so that the true distance is 0. It needs no training, because its critic is a closed form.

    The bounds for the distributions, over all k results, hold together at ``confidence``: each result is stated at
    1 - (1 - confidence) / k (Bonferroni). Like those of a single estimate, they assume independent samples. For a source that
    shares samples with the reference, or was trained on them, only the bounds for the sample sets remain valid.

    Arguments:
        reference: an address, a tensor, an array or an open source.
        sources: the sources to rank, in the same forms; at least one.
        names: names of the sources in the result; by default the shortest parts of their addresses that differ.
        witnesses: number of images of each side to keep: those with the most extreme potentials under the critic of each source.
        shard: ``"I/N"`` to compute only part I of N; :func:`wdist.merge` joins the documents (``to_json()``) of all parts.
        progress, observer, checkpoint, resume: as for :func:`estimate`.
        arguments: options of :class:`~wdist.estimation.options.EstimateOptions`. The budget is that of the whole comparison, and
            ``confidence`` that of all its population bounds together. Each source is judged by one critic, so ``critics``,
            ``baselines`` and ``repeats`` are refused.

    Returns:
        The comparison, in the units of the data. After Ctrl-C: what was proved so far, with ``interrupted`` set. A source whose
        training diverged is left out, with a warning.

    Raises:
        WdistError: bad input, before anything is trained, or no source gave a result.
        KeyboardInterrupt: the user interrupted before the first result.
    """
    from wdist.comparison.compare import run_comparison

    options = EstimateOptions.validated(**arguments)
    witnesses = accepted("witnesses", witnesses, int)
    if witnesses < 0:
        raise UsageError(f"witnesses must not be negative, but is {witnesses}")
    part = read_shard(accepted("shard", shard, str, None))
    numbered = _numbered(sources)
    kept = keeping(checkpoint, resume, "compare", options, sources=len(numbered), shard=shard)
    with kept, listening(progress, observer) as watcher:
        first, *others = _sides(options, reference=reference, **numbered)
        return run_comparison(first, others, options, names=_listed(names=names), witnesses=witnesses, shard=part, observer=watcher)


@library_function
def drift(
    reference: Any,
    current: Any,
    *,
    maximum: float | str | None = None,
    progress: bool | None = None,
    observer: Listener | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    **arguments: Any,
) -> wdist.Drift:
    """Finds what changed between two tables: columns, their dependence, and the joint distribution.

    Numeric columns are compared by one-dimensional W1, categories by the shares of their levels, dependence by rank correlations,
    and the joint distributions by :func:`wdist.estimate`. If both tables hold independent rows from one distribution, drift is
    reported with probability at most 1 - ``confidence``.

    Arguments:
        reference: a table: an address, a data frame, an array or an open source.
        current: the table to judge, in the same forms, with the same columns.
        maximum: limit of the joint distance, as for :func:`gate`: a number, or ``"reference+10%"`` or ``"3sd"``, relative to the
            reference against itself.
        progress, observer, checkpoint, resume: as for :func:`estimate`.
        arguments: options of :class:`~wdist.estimation.options.EstimateOptions`, for the joint distance. Columns are divided by
            their standard deviations in the reference unless ``scale=`` says otherwise. Baselines are trained only if named.

    Returns:
        What changed, with p-values and bounds. After Ctrl-C, the tests are complete, and the bounds are those proved so far.

    Raises:
        WdistError: bad input, before anything is trained.
    """
    from wdist.drifts.drift import run_drift
    from wdist.estimation.options import NONE

    if "access" not in arguments:
        arguments = {"scale": "std", **arguments}
    options = EstimateOptions.validated(**{"baselines": NONE, **arguments})
    with keeping(checkpoint, resume, "drift", options, max=maximum), listening(progress, observer) as watcher:
        first, second = _sides(options, reference=reference, current=current)
        return run_drift(first, second, options, maximum=maximum, observer=watcher)


@library_function
def robust(
    model: Any,
    data: Any,
    labels: Any = None,
    *,
    eps: float,
    norm: str = "l2",
    minimum: float | None = None,
    iterations: int = 200,
    restarts: int = 2,
    seed: int = 0,
    device: str = "auto",
    access: Access | None = None,
    progress: bool | None = None,
    observer: Listener | None = None,
) -> wdist.Robustness:
    r"""Certifies how many samples a classifier gets right under every perturbation of a given size, and attacks the others.

    A sample is certified if each margin :math:`y_t - y_i` exceeds ``eps`` times a proved Lipschitz constant of that difference;
    for the others, projected gradient descent searches for perturbations. The error on these samples under the worst perturbations
    lies between ``attacked_error`` and ``certified_error``.

    Arguments:
        model: a :class:`~wdist.robustness.classifier.FrozenClassifier` that :func:`wdist.robustness.training.train_classifier`
            returned, the address of a saved one, any torch module from samples to logits, or the address of a network.
        data: labelled samples: an address, an array, a tensor or an open source.
        labels: class numbers, in the same forms; by default those of the dataset, or the array ``labels`` beside the samples.
        eps: largest size of a perturbation, in the units of the data.
        norm: norm of perturbations: ``"l2"`` or ``"linf"``.
        minimum: required accuracy: ``answer`` is pass if it is certified, fail if the attack leaves less, else inconclusive.
        iterations: steps of the attack from each start; 0 for no attack.
        restarts: number of random starts of the attack.
        seed: seed of the random starts.
        device: device that runs the attack.
        access: permissions for opening addresses.
        progress, observer: as for :func:`estimate`.

    Raises:
        WdistError: bad input, or a classifier without a finite Lipschitz bound.

    References:
        Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4.3.
    """
    from wdist.robustness.robust import RobustOptions, run_robust

    how: Any = {"eps": eps, "norm": norm, "minimum": minimum, "iterations": iterations, "restarts": restarts, "device": device}
    options = RobustOptions(**how, seed=_seed(seed), access=Access() if access is None else access)
    with listening(progress, observer) as watcher:
        return run_robust(model, data, labels, options=options, observer=watcher)


@library_function
def dependence(
    table: Any,
    *,
    columns: str | Sequence[str],
    with_: str | Sequence[str] | None = None,
    progress: bool | None = None,
    observer: Listener | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    **arguments: Any,
) -> wdist.Dependence:
    """Measures how far some columns of a table are from being independent of others, and tests independence.

    Bounds W1 between their joint distribution and the product of their marginal distributions, the Wasserstein dependency measure,
    which is 0 only for independent columns. The p-value of independence is exact for any number of rows.

    Arguments:
        table: independent rows: an address, a data frame, an array or an open source.
        columns: names of the columns on one side.
        with_: names of the columns on the other side; None for all others.
        progress, observer, checkpoint, resume: as for :func:`estimate`.
        arguments: options of :class:`~wdist.estimation.options.EstimateOptions`. Columns are divided by their standard deviations
            in training rows unless ``scale=`` says otherwise. No baselines are trained.

    Returns:
        The bounds, in the units of the distances, and the test. After Ctrl-C, the test is complete, and the bounds are those proved
        so far.

    Raises:
        WdistError: bad input, before anything is trained.

    References:
        Ozair et al. (2019), Wasserstein dependency measure for representation learning, arXiv:1903.11780.
    """
    from wdist.dependences.dependence import run_dependence

    if "access" not in arguments:
        arguments = {"scale": "std", **arguments}
    options = EstimateOptions.validated(**arguments)
    x, y = ([each] if isinstance(each, str) else each for each in (columns, with_))
    kept = {"columns": _listed(columns=x), "with_": _listed(with_=y)}
    with keeping(checkpoint, resume, "dependence", options, **kept), listening(progress, observer) as watcher:
        rows = named(table, "table", options.access, options.seed, strict=False)
        return run_dependence(rows, kept["columns"] or [], kept["with_"], options, observer=watcher)


@library_function
def lipschitz_constant(
    network: Any,
    *,
    norm: str = "l2",
    at: Any = None,
    radius: float | None = None,
    shape: Sequence[int] | None = None,
    points: int = 100,
    seed: int = 0,
    access: Access | None = None,
    progress: bool | None = None,
    observer: Listener | None = None,
    trust: bool = False,
    download: bool = False,
) -> wdist.LipschitzConstant:
    """Bounds the Lipschitz constant of a network: from above by a proof in float64, from below by a search.

    Arguments:
        network: a torch module, or the address of a network; its weights are taken as exact.
        norm: norm of inputs and outputs: ``"l2"``, or ``"linf"`` for the largest coordinate.
        at: points where slopes are bounded as well: an address, a tensor, an array or an open source.
        radius: radius, in the norm, of the balls around these points within which slopes are bounded; None for the points alone.
        shape: shape of one sample; by default taken from the file, the points or the first linear layer.
        points: number of samples to use from the beginning of ``at``.
        seed: seed of the search.
        access: permissions for opening addresses; ``trust`` and ``download`` give them one by one.
        progress, observer: as for :func:`estimate`.

    Returns:
        The interval. If the network has an operator without a known bound, ``upper`` is None and ``obstacle`` says why.

    Raises:
        WdistError: the network or the points cannot be read.
    """
    from wdist.bounds.lipschitz.constant import LipschitzOptions, run_lipschitz
    from wdist.training.observer import Stage

    granted = _access(access, trust=trust, download=download, drop_nonfinite=False)
    sizes = None if shape is None else tuple(accepted("shape", each, int) for each in shape)
    options = LipschitzOptions(
        norm=accepted("norm", norm, str),
        shape=sizes,
        radius=accepted("radius", radius, float, None),
        points=accepted("points", points, int),
        seed=_seed(seed),
    )
    with listening(progress, observer) as watcher:
        side = None if at is None else named(at, "at", granted, seed)
        return run_lipschitz(network, options, at=side, access=granted, tell=lambda what: watcher.notify(Stage(what=what)))


@library_function
def gate(
    a: Any,
    b: Any,
    *,
    maximum: float | str | None = None,
    max_lower: float | None = None,
    baseline: str | Path | None = None,
    tolerance: float | None = None,
    on: On | None = None,
    proof: str | Path | None = None,
    until_decided: bool | wdist.UntilDecided = False,
    progress: bool | None = None,
    observer: Listener | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    **arguments: Any,
) -> wdist.GateResult:
    """Judges whether two sources are close enough: pass, fail, or inconclusive if neither is proved.

    Arguments:
        a: the reference: an address, a tensor, an array or an open source.
        b: the source to judge, in the same forms.
        maximum, max_lower, baseline, tolerance: limits, as in :class:`~wdist.gates.limits.GateLimits`.
        on: the estimand to judge: ``"population"``, ``"samples"``, ``"detected"``, ``"block"`` or ``"reference"``; by default
            ``"detected"`` with ``until_decided``, else ``"population"``.
        proof: proof of an earlier estimate of both sources, which is verified instead of training anything.
        until_decided: whether to draw batches until ``maximum`` is decided for what critics detect: True, or a
            :class:`wdist.UntilDecided` with the limits at which to stop.
        progress, observer, checkpoint, resume: as for :func:`estimate`.
        arguments: options of :class:`~wdist.estimation.options.EstimateOptions`, except for its ``tolerance``. Baselines are
            trained only if named. Without a time budget, the same inputs, seed and machine give the same digits.

    Returns:
        The verdict and the estimate that it rests on. After Ctrl-C it rests on what was proved so far.

    Raises:
        WdistError: bad input, or a reference that is not that of the baseline; raised before anything is trained.
    """
    from wdist.estimation.options import NONE
    from wdist.gates.gate import run_gate
    from wdist.gates.limits import GateLimits
    from wdist.gates.sequential import UntilDecided, run_until_decided

    stopping = accepted("until_decided", until_decided, bool, UntilDecided)
    stops = (UntilDecided(),) if stopping is True else (stopping,) if stopping else ()
    proof = accepted("proof", proof, str, Path, None)
    if stops and proof is not None:
        raise UsageError("until_decided draws new samples, but proof is about those of an earlier run; give only one of them")
    on = on or ("detected" if stops else "population")
    limits = GateLimits(maximum=maximum, max_lower=max_lower, baseline=baseline, tolerance=tolerance, on=on)
    if arguments.get("critics") is None:
        arguments = {"baselines": NONE, **arguments}
    options = EstimateOptions.validated(**arguments)
    with keeping(checkpoint, resume, "gate", options, limits, *stops), listening(progress, observer) as watcher:
        first, second = _sides(options, A=a, B=b)
        if stops:
            return run_until_decided(first, second, options, limits, *stops, observer=watcher)
        return run_gate(first, second, options, limits, proof=proof, observer=watcher)


@library_function
def merge(documents: Sequence[str | Path]) -> wdist.Comparison | StudyResult:
    """Joins the shards of one comparison or suite, like ``wdist merge``.

    Arguments:
        documents: files that ``wdist compare`` or ``wdist bench`` wrote with ``--shard I/N -o FILE``, one for each shard.

    Raises:
        WdistError: a file holds no shard, or they are not all shards of one run.
    """
    from wdist.report.merging import merged

    return merged(documents)


@library_function
def verify(
    path: str | Path,
    a: Any = None,
    b: Any = None,
    *,
    access: Access | None = None,
    features: Any = None,
    device: str = "cpu",
    progress: bool | None = None,
    observer: Listener | None = None,
    trust: bool = False,
    download: bool = False,
    drop_nonfinite: bool = False,
) -> wdist.Verification:
    """Proves the claims of a saved proof again, from its evidence and the samples, like ``wdist verify``.

    Arguments:
        path: written by :func:`wdist.save_proof` or ``--save-proof``.
        a, b: the two sources; by default the addresses in the proof.
        access: permissions for opening sources that are passed here, never for those that the proof names; ``trust``,
            ``download`` and ``drop_nonfinite`` give them one by one.
        features: feature space, as for :func:`wdist.estimate`; by default that of the proof.
        device: device that draws samples.
        progress, observer: as for :func:`estimate`.

    Raises:
        WdistError: the proof or a source cannot be read, or they do not match.
    """
    from wdist.estimation.verification import verify as verified

    granted = _access(access, trust=trust, download=download, drop_nonfinite=drop_nonfinite)
    path, device = accepted("path", path, str, Path), accepted("device", device, str)
    with listening(progress, observer) as watcher:
        sides = [None if side is None else named(side, name, granted) for side, name in ((a, "A"), (b, "B"))]
        return verified(path, *sides, access=granted, features=features, device=device, observer=watcher)


@library_function
def transport(
    x: Any,
    y: Any,
    *,
    weights: tuple[Any, Any] | None = None,
    metric: str = "l2",
    tol: float = 1e-3,
    seed: int = 0,
    device: str = "auto",
    access: Access | None = None,
    bounded: Callable[[float, float], object] | None = None,
    progress: bool | None = None,
    trust: bool = False,
    download: bool = False,
    drop_nonfinite: bool = False,
) -> wdist.Transport:
    """Solves optimal transport between two sets of samples until the gap between the bounds is at most ``tol`` times the upper one.

    Arguments:
        x, y: tensors, arrays or data frames whose first axis counts the samples, or addresses; uint8 is scaled to [0, 1].
        weights: a pair of non-negative weights of the samples, each normalised to sum to 1; None for equal weights.
        metric: ``l2``, ``l1`` or ``linf``.
        tol: relative gap at which to stop; 0 for an optimal plan.
        seed: seed of the smaller problems that are solved first.
        device: device that computes the costs of pairs: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        access: permissions for opening addresses; ``trust``, ``download`` and ``drop_nonfinite`` give them one by one.
        bounded: called with both bounds whenever they improve.
        progress: whether to show progress; by default only in terminals and notebooks.

    Returns:
        The plan, the dual variables, and the bounds that they prove. After Ctrl-C: those of the last round.

    Raises:
        WdistError: bad input, or more samples than fit into memory.
        KeyboardInterrupt: the user interrupted before anything was proved.
    """
    from wdist.training.observer import SamplesBounded, Stage
    from wdist.transport.solution import transport as solved

    granted = _access(access, trust=trust, download=download, drop_nonfinite=drop_nonfinite)
    checked = {
        "metric": accepted("metric", metric, str),
        "tol": accepted("tol", tol, float),
        "seed": _seed(seed),
        "device": accepted("device", device, str),
    }
    if bounded is not None and not callable(bounded):
        raise UsageError("bounded must be a function of a lower and an upper bound")
    with listening(progress, None) as watcher:

        def tell(lower: float, upper: float) -> None:
            watcher.notify(SamplesBounded(lower=lower, upper=upper))
            if bounded is not None:
                bounded(lower, upper)

        watcher.notify(Stage(what="transport between the samples"))
        sides = [named(side, name, granted) for side, name in ((x, "x"), (y, "y"))]
        return solved(*sides, weights=weights, access=granted, bounded=tell, **checked)


@library_function
def open_source(
    address: Any,
    access: Access | None = None,
    *,
    seed: int = 0,
    trust: bool = False,
    download: bool = False,
    drop_nonfinite: bool = False,
) -> Source:
    """Opens an address (text or path), a tensor or an array; an open source is returned unchanged.

    Only what determines the shape, type and number of samples is read.

    Arguments:
        address: for example ``a.h5:/group/x?rows=0:5000``; ``wdist guide addresses`` lists them all.
        access: permissions; ``trust``, ``download`` and ``drop_nonfinite`` give them one by one.
        seed: seed of the random choice of rows, if the address requests one.

    Raises:
        WdistError: there are no samples to read; TrustRequired if reading would run code.
    """
    from wdist.data.sources.opening import open_source as opened

    granted = _access(access, trust=trust, download=download, drop_nonfinite=drop_nonfinite)
    if address is None:
        raise UsageError("address is None; give a tensor, an array or an address")
    return opened(address, granted, seed=_seed(seed))


@library_function
def save_proof(estimate: wdist.Estimate, path: str | Path) -> None:
    """Saves everything that :func:`wdist.verify` needs to prove the bounds again.

    Raises:
        WdistError: the file cannot be written, or its suffix is not ``.safetensors``.
    """
    from wdist.estimation.proof import save_proof as saved
    from wdist.estimation.result import Estimate

    saved(accepted("estimate", estimate, Estimate), accepted("path", path, str, Path))


def _sides(options: EstimateOptions, **sides: Any) -> list[Any]:
    return [named(side, name, options.access, options.seed) for name, side in sides.items()]


def _numbered(sources: Any) -> dict[str, Any]:
    """The sources of a comparison by their numbers; a single address counts as a list of one."""
    if isinstance(sources, str | Path):
        sources = [sources]
    if not isinstance(sources, Sequence):
        raise UsageError(
            "sources must be a list: [x, y]; a tensor of several sets is divided with list(tensor), and a dictionary with "
            "list(sources.values()) and names=list(sources)"
        )
    return {str(number): source for number, source in enumerate(sources, start=1)}


def _listed(**argument: Any) -> Sequence[str] | None:
    ((which, names),) = argument.items()
    if names is None:
        return None
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise UsageError(f'{which} must be a list of texts, such as ["early", "late"]')
    return names


def _access(access: Any, **flat: Any) -> Access:
    """Permissions from an object, from single arguments, or from both."""
    whole = accepted("access", access, Access, None) or Access()
    given = Access(**flat)
    return replace(whole, **{name: getattr(whole, name) or getattr(given, name) for name in flat})


def _seed(seed: Any) -> int:
    return EstimateOptions(seed=seed).seed
