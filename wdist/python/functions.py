"""The functions of ``import wdist``: what the commands do, with tensors, arrays or addresses, and with keyword arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from wdist.arguments import accepted, read_shard
from wdist.data.access import Access
from wdist.errors import UsageError
from wdist.estimation.options import EstimateArguments, EstimateOptions
from wdist.python.calls import Listener, explaining_lack_of_memory, keeping, listening, named, with_warnings_in_python

if TYPE_CHECKING:
    from wdist.bounds.lipschitz.constant import LipschitzConstant
    from wdist.comparison.ranking import Comparison
    from wdist.data.sources.source import Source
    from wdist.dependences.dependence import Dependence
    from wdist.drifts.drift import Drift
    from wdist.estimation.result import Estimate
    from wdist.estimation.verification import Verification
    from wdist.gates.gate import GateResult
    from wdist.gates.limits import On
    from wdist.gates.sequential import UntilDecided
    from wdist.robustness.robust import Robustness
    from wdist.studies.study import StudyResult
    from wdist.transport.solution import Transport


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
) -> Estimate:
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
        progress: shows the progress; None for in terminals and notebooks only.
        observer: is told about progress: a function of an event, or an object with ``notify(event)``.
        checkpoint: folder in which the state of the run is kept every minute.
        resume: goes on with the run in that folder, with the same data and options.
        arguments: options by name: the fields of :class:`~wdist.estimation.options.EstimateOptions`,
            :class:`~wdist.data.access.Access` and :class:`~wdist.critics.settings.CriticSettings`. A budget is a number of seconds,
            ``"2m"``, a ``timedelta`` or a :class:`wdist.Budget`; ``steps=`` may stand for it.

    Returns:
        The estimate, in the units of the data. After Ctrl-C: what is proved so far, with ``interrupted`` set.

    Raises:
        WdistError: bad input, a missing device, or a training that diverged before anything was proved.

    References:
        Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 7.2.
    """
    with explaining_lack_of_memory():
        from wdist.estimation.estimate import run_estimate

        options = EstimateOptions.validated(**arguments)
        truth = accepted("truth", truth, float, None)
        with keeping(checkpoint, resume, "estimate", options), listening(progress, observer) as told:
            first, second = _sides(options, A=a, B=b)
            return with_warnings_in_python(run_estimate(first, second, options, observer=told, truth=truth))


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
) -> Comparison:
    r"""Ranks sources by their Wasserstein-1 distance from a reference.

    Every source is judged against the same samples of the reference, with the same seed and an equal part of the budget; its result
    has the digits of its own :func:`wdist.estimate` at the confidence below. The noise floor shows what the number of samples alone
    cannot resolve: it is the reference against itself, either two disjoint halves of a finite one or two streams of draws. The
    distance between the two distributions is 0 there. It needs no training, because its critic is a closed form.

    All bounds for the distributions, over all k results, hold together at ``confidence``: each result is stated at
    1 - (1 - confidence) / k (Bonferroni). Like those of a single estimate they assume independent samples. A source that shares
    samples with the reference, or was trained on them, keeps its certain bounds for the sample sets and loses the others.

    Arguments:
        reference: an address, a tensor, an array or an open source.
        sources: the sources to rank, in the same forms; at least one.
        names: names of the sources in the result; by default the shortest parts of their addresses that differ.
        witnesses: number of samples kept of each side to which a source's critic gives the most extreme potentials; images only.
        shard: ``"I/N"`` for part I of N only, whose document (``to_json()``) :func:`wdist.merge` joins with the others.
        progress: shows the progress; None for in terminals and notebooks only.
        observer: is told about progress: a function of an event, or an object with ``notify(event)``.
        checkpoint: folder in which the state of the run is kept every minute.
        resume: goes on with the run in that folder, with the same data and options.
        arguments: options of :class:`~wdist.estimation.options.EstimateOptions`. The budget bounds the whole comparison and
            ``confidence`` belongs to all its population bounds together. Each source is judged by one critic, so ``critics``,
            ``baselines`` and ``repeats`` are refused.

    Returns:
        The comparison, in the units of the data. After Ctrl-C it holds what was proved by then, with ``interrupted`` set. A source
        whose training diverged is left out, with a warning.

    Raises:
        WdistError: bad input, before anything is trained, or no source gave a result.
        KeyboardInterrupt: the user interrupted before the first result.
    """
    with explaining_lack_of_memory():
        from wdist.comparison.compare import run_comparison

        options = EstimateOptions.validated(**arguments)
        witnesses = accepted("witnesses", witnesses, int)
        if witnesses < 0:
            raise UsageError(f"witnesses must not be negative, but is {witnesses}")
        part = read_shard(accepted("shard", shard, str, None))
        kept = keeping(checkpoint, resume, "compare", options, sources=len(sources), shard=shard)
        with kept, listening(progress, observer) as told:
            first, *others = _sides(options, reference=reference, **_numbered(sources))
            found = run_comparison(first, others, options, names=_listed(names), witnesses=witnesses, shard=part, observer=told)
            return with_warnings_in_python(found)


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
) -> Drift:
    """Finds what changed between two tables: columns, the dependence between them, and the joint distribution.

    Columns of numbers are compared on the line, categories by the shares of their levels; dependence is compared by correlations of
    ranks; the joint distance is that of :func:`wdist.estimate`. If both tables are independent rows of one distribution, drift is
    reported with probability at most 1 - ``confidence``.

    Arguments:
        reference: a table: an address, a data frame, an array or an open source.
        current: the table to judge, in the same forms, with the same columns.
        maximum: limit of the joint distance, as for :func:`gate`: a number, or ``"reference+10%"`` or ``"3sd"``, relative to the
            reference against itself.
        progress: shows the progress; None for in terminals and notebooks only.
        observer: is told about progress: a function of an event, or an object with ``notify(event)``.
        checkpoint: folder in which the state of the run is kept every minute.
        resume: goes on with the run in that folder, with the same data and options.
        arguments: options of :class:`~wdist.estimation.options.EstimateOptions`, for the joint distance. Columns are divided by
            their standard deviations in the reference unless ``scale=`` says otherwise. Baselines are trained only if named.

    Returns:
        What changed, and how surely. After Ctrl-C the tests are complete, and the bounds are what was proved by then.

    Raises:
        WdistError: bad input, before anything is trained.
    """
    with explaining_lack_of_memory():
        from wdist.drifts.drift import run_drift
        from wdist.estimation.options import NONE

        if "access" not in arguments:
            arguments = {"scale": "std", **arguments}
        options = EstimateOptions.validated(**{"baselines": NONE, **arguments})
        with keeping(checkpoint, resume, "drift", options, max=maximum), listening(progress, observer) as told:
            first, second = _sides(options, reference=reference, current=current)
            return with_warnings_in_python(run_drift(first, second, options, maximum=maximum, observer=told))


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
) -> Robustness:
    r"""Certifies how many samples a classifier gets right under every perturbation of a size, and attacks the rest.

    A sample is certified where each margin :math:`y_t - y_i` exceeds ``eps`` times a proved Lipschitz constant of that difference;
    projected gradient descent looks for perturbations of the others. Of these samples, the error under the worst perturbations
    lies between ``attacked_error`` and ``certified_error``.

    Arguments:
        model: a :class:`~wdist.robustness.classifier.FrozenClassifier` that :func:`wdist.robustness.training.train_classifier`
            returned, the address of a saved one, any torch module from samples to logits, or the address of a network.
        data: labelled samples: an address, an array, a tensor or an open source.
        labels: class numbers, in the same forms; None for those of the dataset, or of the array ``labels`` beside the samples.
        eps: largest size of a perturbation, in the units of the data.
        norm: measures it: ``"l2"`` or ``"linf"``.
        minimum: accuracy to judge: ``answer`` is pass if it is certified, fail if the attack leaves less, else inconclusive.
        iterations: steps of the attack from each start; 0 for none.
        restarts: starts of the attack.
        seed: of the starts.
        device: where to attack.
        access: permissions.
        progress: shows the progress; None for in terminals and notebooks only.
        observer: is told about progress: a function of an event, or an object with ``notify(event)``.

    Raises:
        WdistError: bad input, or a classifier without a finite Lipschitz bound.

    References:
        Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4.3.
    """
    with explaining_lack_of_memory():
        from wdist.robustness.robust import RobustOptions, run_robust

        options = RobustOptions(
            eps=accepted("eps", eps, float),
            norm=accepted("norm", norm, str),
            minimum=accepted("minimum", minimum, float, None),
            iterations=accepted("iterations", iterations, int),
            restarts=accepted("restarts", restarts, int),
            seed=_seed(seed),
            device=accepted("device", device, str),
            access=accepted("access", access, Access, None) or Access(),
        )
        with listening(progress, observer) as told:
            return with_warnings_in_python(run_robust(model, data, labels, options=options, observer=told))


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
) -> Dependence:
    """Measures how far some columns of a table are from being independent of others, and tests whether they are.

    Bounds W1 between their joint distribution and the product of their distributions, the Wasserstein dependency measure: 0 for
    independent columns, and for no others. The p-value of independence is exact at every number of rows.

    Arguments:
        table: independent rows: an address, a data frame, an array or an open source.
        columns: names of the columns on the one side.
        with_: names of the columns on the other side; None for all others.
        progress: shows the progress; None for in terminals and notebooks only.
        observer: is told about progress: a function of an event, or an object with ``notify(event)``.
        checkpoint: folder in which the state of the run is kept every minute.
        resume: goes on with the run in that folder, with the same data and options.
        arguments: options of :class:`~wdist.estimation.options.EstimateOptions`. Columns are divided by their standard deviations
            in training rows unless ``scale=`` says otherwise. There are no baselines.

    Returns:
        The bounds and the test, in the units of the distances. After Ctrl-C they rest on what was found by then.

    Raises:
        WdistError: bad input, before anything is trained.

    References:
        Ozair et al. (2019), Wasserstein dependency measure for representation learning, arXiv:1903.11780.
    """
    with explaining_lack_of_memory():
        from wdist.dependences.dependence import run_dependence

        if "access" not in arguments:
            arguments = {"scale": "std", **arguments}
        options = EstimateOptions.validated(**arguments)
        x, y = ([each] if isinstance(each, str) else each for each in (columns, with_))
        kept = {"columns": _listed(x), "with_": _listed(y)}
        with keeping(checkpoint, resume, "dependence", options, **kept), listening(progress, observer) as told:
            rows = named(table, "table", options.access, options.seed, strict=False)
            return with_warnings_in_python(run_dependence(rows, _listed(x) or [], _listed(y), options, observer=told))


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
) -> LipschitzConstant:
    """Bounds the Lipschitz constant of a network, from above by a proof in float64 and from below by a search.

    Arguments:
        network: a torch module, or the address of a network; its weights are taken as exact.
        norm: of inputs and outputs: ``"l2"``, or ``"linf"`` for the largest coordinate.
        at: points, as an address, a tensor, an array or an open source; slopes are bounded at them, too.
        radius: of balls round the points, in the norm, within which slopes are bounded; None for the points themselves.
        shape: of one sample; by default that of the file or the points, or the inputs of a first linear layer.
        points: number of points, the first of ``at``.
        seed: of the search.
        access: permissions for opening addresses; ``trust`` and ``download`` give them one by one.
        progress: shows the progress; None for in terminals and notebooks only.
        observer: is told about progress: a function of an event, or an object with ``notify(event)``.

    Returns:
        The interval; ``upper`` is None, and ``obstacle`` says why, if the network has an operator without a known bound.

    Raises:
        WdistError: the network or the points cannot be read.
    """
    with explaining_lack_of_memory():
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
        with listening(progress, observer) as told:
            side = None if at is None else named(at, "at", granted, seed)
            found = run_lipschitz(network, options, at=side, access=granted, tell=lambda what: told.notify(Stage(what=what)))
            return with_warnings_in_python(found)


def gate(
    a: Any,
    b: Any,
    *,
    maximum: float | str | None = None,
    max_lower: float | None = None,
    baseline: str | Path | None = None,
    tolerance: float | None = None,
    on: On = "population",
    proof: str | Path | None = None,
    until_decided: bool | UntilDecided = False,
    progress: bool | None = None,
    observer: Listener | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    **arguments: Any,
) -> GateResult:
    """Judges whether two sources are near enough: pass, fail, or inconclusive if neither is proved.

    Arguments:
        a: the reference: an address, a tensor, an array or an open source.
        b: the source to judge, in the same forms.
        maximum, max_lower, baseline, tolerance, on: limits, as in :class:`~wdist.gates.limits.GateLimits`.
        proof: a proof of an earlier estimate of both, which is proved again instead of training anything.
        until_decided: draws batches until ``maximum`` is decided for what critics detect (``on="detected"``); True, or a
            :class:`wdist.UntilDecided` with limits of its own.
        progress: shows the progress; None for in terminals and notebooks only.
        observer: is told about progress: a function of an event, or an object with ``notify(event)``.
        checkpoint: folder in which the state of the run is kept every minute.
        resume: goes on with the run in that folder, with the same data and options.
        arguments: options of :class:`~wdist.estimation.options.EstimateOptions`, except for its ``tolerance``. Baselines are not
            trained unless they are named. Without a budget of time, the same inputs, seed and machine give the same digits.

    Returns:
        The verdict, with the estimate that it rests on. After Ctrl-C it rests on what was proved by then.

    Raises:
        WdistError: bad input, or another reference than that of the baseline, before anything is trained.
    """
    with explaining_lack_of_memory():
        from wdist.estimation.options import NONE
        from wdist.gates.gate import run_gate
        from wdist.gates.limits import GateLimits
        from wdist.gates.sequential import UntilDecided, run_until_decided

        limits = GateLimits(maximum=maximum, max_lower=max_lower, baseline=baseline, tolerance=tolerance, on=on)
        if arguments.get("critics") is None:
            arguments = {"baselines": NONE, **arguments}
        options = EstimateOptions.validated(**arguments)
        proof = accepted("proof", proof, str, Path, None)
        stopping = accepted("until_decided", until_decided, bool, UntilDecided)
        stops = (UntilDecided(),) if stopping is True else (stopping,) if stopping else ()
        with keeping(checkpoint, resume, "gate", options, limits, *stops), listening(progress, observer) as told:
            first, second = _sides(options, A=a, B=b)
            if stops:
                return with_warnings_in_python(run_until_decided(first, second, options, limits, *stops, observer=told))
            return with_warnings_in_python(run_gate(first, second, options, limits, proof=proof, observer=told))


def merge(documents: Sequence[str | Path]) -> Comparison | StudyResult:
    """Joins the shards of one comparison or suite, as ``wdist merge`` does.

    Arguments:
        documents: files that ``wdist compare`` or ``wdist bench`` wrote with ``--shard I/N -o FILE``, one for each shard.

    Raises:
        WdistError: a file holds no shard, or they are not all shards of one run.
    """
    with explaining_lack_of_memory():
        from wdist.report.merging import merged

        return merged(documents)


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
) -> Verification:
    """Proves the numbers of a saved proof again, from its evidence and the samples, as ``wdist verify`` does.

    Arguments:
        path: written by :func:`wdist.save_proof` or ``--save-proof``.
        a, b: the two sources; by default the addresses of the proof.
        access: permissions for opening the sources, for what is passed here, never for what the proof names; ``trust``,
            ``download`` and ``drop_nonfinite`` give them one by one.
        features: feature space, as for :func:`wdist.estimate`; by default as saved.
        device: that samples are drawn on.
        progress: shows the progress; None for in terminals and notebooks only.
        observer: is told about progress: a function of an event, or an object with ``notify(event)``.

    Raises:
        WdistError: the proof or a source cannot be read, or they do not fit together.
    """
    with explaining_lack_of_memory():
        from wdist.estimation.verification import verify as verified

        granted = _access(access, trust=trust, download=download, drop_nonfinite=drop_nonfinite)
        path, device = accepted("path", path, str, Path), accepted("device", device, str)
        with listening(progress, observer) as told:
            sides = [None if side is None else named(side, name, granted) for side, name in ((a, "A"), (b, "B"))]
            return with_warnings_in_python(verified(path, *sides, access=granted, features=features, device=device, observer=told))


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
) -> Transport:
    """Solves optimal transport between two sets of samples until the bounds are within ``tol``, as a share of the upper one.

    Arguments:
        x, y: tensors or arrays whose first axis counts the samples, or addresses.
        weights: of the samples of each side, not negative, in any unit; None for equal ones.
        metric: ``l2``, ``l1`` or ``linf``.
        tol: 0 for an optimal plan.
        seed: of the smaller problems that it starts from.
        device: that prices pairs: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        access: permissions for opening addresses; ``trust``, ``download`` and ``drop_nonfinite`` give them one by one.
        bounded: is told both bounds whenever they come closer.
        progress: shows the progress; None for in terminals and notebooks only.

    Returns:
        The plan, the bounds that it and the dual variables prove, and these. After Ctrl-C: those of the last round.

    Raises:
        WdistError: bad input, or more samples than fit into memory.
        KeyboardInterrupt: Ctrl-C came before anything was proved.
    """
    with explaining_lack_of_memory():
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
        with listening(progress, None) as told:

            def tell(lower: float, upper: float) -> None:
                told.notify(SamplesBounded(lower=lower, upper=upper))
                if bounded is not None:
                    bounded(lower, upper)

            told.notify(Stage(what="transport between the samples"))
            sides = [named(side, name, granted) for side, name in ((x, "x"), (y, "y"))]
            return solved(*sides, weights=weights, access=granted, bounded=tell, **checked)


def open_source(
    address: Any,
    access: Access | None = None,
    *,
    seed: int = 0,
    trust: bool = False,
    download: bool = False,
    drop_nonfinite: bool = False,
) -> Source:
    """Opens an address (text or path), a tensor or an array; returns a source that is already open as it is.

    Reads only what determines shape, type and number of samples.

    Arguments:
        address: as the guide lists them, ``a.h5:/group/x?rows=0:5000``.
        access: permissions; ``trust``, ``download`` and ``drop_nonfinite`` give them one by one.
        seed: of a random choice that the address asks for.

    Raises:
        WdistError: there are no samples to read; TrustRequired if that would run code.
    """
    with explaining_lack_of_memory():
        from wdist.data.sources.opening import open_source as opened

        granted = _access(access, trust=trust, download=download, drop_nonfinite=drop_nonfinite)
        if address is None:
            raise UsageError("address is None; give a tensor, an array or an address")
        return opened(address, granted, seed=_seed(seed))


def save_proof(estimate: Estimate, path: str | Path) -> None:
    """Saves everything that lets :func:`wdist.verify` prove the numbers again.

    Raises:
        WdistError: the file cannot be written, or its suffix is not ``.safetensors``.
    """
    with explaining_lack_of_memory():
        from wdist.estimation.proof import save_proof as saved
        from wdist.estimation.result import Estimate

        saved(accepted("estimate", estimate, Estimate), accepted("path", path, str, Path))


def _sides(options: EstimateOptions, **sides: Any) -> list[Any]:
    return [named(side, name, options.access, options.seed) for name, side in sides.items()]


def _numbered(sources: Any) -> dict[str, Any]:
    """The sources of a comparison by their numbers; a single address stands for itself."""
    if isinstance(sources, str | Path):
        sources = [sources]
    if not isinstance(sources, Sequence):
        raise UsageError("sources must be a list: [x, y]; a tensor of several sets is divided with list(tensor)")
    return {str(number): source for number, source in enumerate(sources, start=1)}


def _listed(names: Any) -> Sequence[str] | None:
    if names is None:
        return None
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise UsageError('names must be a list of texts: ["early", "late"]')
    return names


def _access(access: Any, **flat: Any) -> Access:
    """Permissions, given as a whole or one by one."""
    whole = accepted("access", access, Access, None) or Access()
    given = Access(**flat)
    return replace(whole, **{name: getattr(whole, name) or getattr(given, name) for name in flat})


def _seed(seed: Any) -> int:
    return EstimateOptions(seed=seed).seed
