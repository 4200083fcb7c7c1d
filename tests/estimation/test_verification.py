"""Verification: yes to what was proved; a forged proof is refused, denied, or claims what is true all the same."""

import numpy as np
import ot
import pytest
import torch
from safetensors.torch import save_file

from tests.forgeries import changed_at, forged, wrong
from tests.trials import SMALL, two_moons
from wdist import estimate
from wdist.data.access import Access
from wdist.errors import SourceError, TrustRequired, UsageError, WdistError
from wdist.estimation import transport_bounds
from wdist.estimation.proof import save_proof, serialise_proofs
from wdist.estimation.verification import verify


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    """A folder with a proof and its two files, the estimate, and W1 of the samples by another program."""
    return made_evidence(tmp_path_factory.mktemp("evidence"))


@pytest.fixture(scope="module")
def evidence_of_blocks(tmp_path_factory):
    """The same, but with an upper end for the populations from independent blocks."""
    with pytest.MonkeyPatch.context() as patch:
        bound = transport_bounds.population_upper_bound
        patch.setattr(transport_bounds, "population_upper_bound", lambda *sides, whole, **given: bound(*sides, **given))
        return made_evidence(tmp_path_factory.mktemp("blocks"))


def made_evidence(folder):
    a, b = two_moons(120, 90, 3)
    for name, side in (("a", a), ("b", b)):
        np.save(folder / f"{name}.npy", side)
    found = estimate(folder / "a.npy", folder / "b.npy", settings=SMALL, steps=30)
    save_proof(found, folder / "proof.safetensors")
    exact = ot.emd2([], [], ot.dist(*(side.reshape(len(side), -1).astype(float) for side in (a, b)), metric="euclidean"))
    return folder, found, exact


@pytest.mark.parametrize("upper", ["evidence", "evidence_of_blocks"])
def test_all_four_ends_are_proved_again(upper, request):
    folder, found, exact = request.getfixturevalue(upper)
    checked = verify(folder / "proof.safetensors")
    assert checked.ok
    for claimed, proved in (
        (checked.claims.samples, checked.estimate.samples),
        (checked.claims.population, checked.estimate.population),
    ):
        assert claimed.lower <= proved.lower == pytest.approx(claimed.lower, rel=1e-8)
        assert claimed.upper >= proved.upper == pytest.approx(claimed.upper, rel=1e-8)
    assert (checked.claims.samples.lower, checked.claims.samples.upper) == (found.samples.lower, found.samples.upper)
    assert (checked.claims.population.lower, checked.claims.population.upper) == (found.population.lower, found.population.upper)
    assert checked.estimate.samples.lower <= exact <= checked.estimate.samples.upper
    assert (checked.estimate.a.address, checked.estimate.b.address) == (str(folder / "a.npy"), str(folder / "b.npy"))
    assert not checked.endless


def test_the_headline_is_what_a_proof_holds_and_not_only_the_bound_of_a_critic(evidence):
    folder, found, _ = evidence
    assert found.samples.lower > found.critic.samples.lower
    assert verify(folder / "proof.safetensors").estimate.samples.lower >= found.samples.lower


def test_samples_may_be_handed_over_from_elsewhere(evidence):
    folder, *_ = evidence
    a, b = (np.load(folder / f"{name}.npy") for name in "ab")
    assert verify(folder / "proof.safetensors", a, torch.from_numpy(b)).ok


@pytest.mark.parametrize("metric", ["l1", "linf"])
def test_other_metrics_and_bounded_data_are_proved_again(metric, tmp_path):
    random = np.random.default_rng(0)
    a, b = (random.integers(low, low + 100, size=(n, 4)).astype(np.uint8) for low, n in ((0, 90), (60, 70)))
    save_proof(estimate(a, b, metric=metric, steps=10, baselines="none", settings=SMALL), tmp_path / "proof.safetensors")
    checked = verify(tmp_path / "proof.safetensors", a, b)
    assert checked.ok, wrong(checked)
    assert checked.estimate.population.method == "betting"
    assert checked.claims.population.upper is not None


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.arange(60.0)[:, None], np.arange(40.0)[:, None] ** 1.1),
        (np.arange(90.0).reshape(30, 3), np.arange(90.0).reshape(30, 3)),
        ("synthetic:dirac?dim=3", np.arange(90.0).reshape(30, 3)),
    ],
    ids=["numbers", "the same", "a single point"],
)
def test_couplings_in_closed_form_are_proved_again(a, b, tmp_path):
    save_proof(estimate(a, b, critic="mean-difference", baselines="none"), tmp_path / "proof.safetensors")
    checked = verify(tmp_path / "proof.safetensors", a, b)
    assert checked.ok, wrong(checked)
    assert checked.claims.samples.upper is not None


def test_a_coupling_of_blocks_is_proved_again(evidence, tmp_path, monkeypatch):
    folder, *_ = evidence
    monkeypatch.setattr("wdist.transport.samples._solvable", lambda *_: False)
    monkeypatch.setattr("wdist.transport.samples._rounds", lambda *_: 0)
    found = estimate(folder / "a.npy", folder / "b.npy", critic="mean-difference", baselines="none")
    monkeypatch.undo()
    assert not found.samples.exact
    save_proof(found, tmp_path / "proof.safetensors")
    checked = verify(tmp_path / "proof.safetensors")
    assert checked.ok, wrong(checked)


def test_a_proof_leaves_out_upper_ends_whose_plan_was_not_kept(evidence, tmp_path, monkeypatch):
    """The lower ends are proved again; nothing is claimed without its evidence."""
    folder, *_ = evidence
    monkeypatch.setattr(transport_bounds, "_PLAN_BYTES", 1 << 40)
    monkeypatch.setattr("wdist.transport.samples._solvable", lambda *_: False)
    monkeypatch.setattr("wdist.transport.samples._rounds", lambda *_: 0)
    found = estimate(folder / "a.npy", folder / "b.npy", critic="mean-difference", baselines="none", divergence="kl", lambda_=1.0)
    monkeypatch.undo()
    assert found.samples.upper is not None
    save_proof(found, tmp_path / "proof.safetensors")
    checked = verify(tmp_path / "proof.safetensors")
    assert checked.ok, wrong(checked)
    claims = checked.claims
    assert (claims.samples.lower, claims.population.lower) == (found.samples.lower, found.population.lower)
    assert claims.samples.upper is claims.population.upper is claims.divergence.samples.upper is None


def test_each_fold_is_proved_again(evidence, tmp_path):
    folder, *_ = evidence
    found = estimate(folder / "a.npy", folder / "b.npy", settings=SMALL, steps=30, folds=3, baselines="relu-bjorck")
    assert [len(each.folds) for each in found.critics] == [3, 3]
    assert (found.population.jointly_with, found.population.method) == (3, "cross-fitted")
    save_proof(found, tmp_path / "proof.safetensors")
    checked = verify(tmp_path / "proof.safetensors")
    assert checked.ok, wrong(checked)
    assert checked.estimate.population.estimate == pytest.approx(found.population.estimate)
    assert checked.estimate.population.n_a == found.population.n_a == 120


def test_several_results_are_proved_by_name(evidence, tmp_path):
    folder, found, _ = evidence
    (tmp_path / "proofs.safetensors").write_bytes(serialise_proofs({"early": found, "late": found}))
    assert verify(f"{tmp_path}/proofs.safetensors:late").ok
    with pytest.raises(UsageError, match="name one of early, late"):
        verify(tmp_path / "proofs.safetensors")
    with pytest.raises(UsageError, match="nothing about 'middle'"):
        verify(f"{tmp_path}/proofs.safetensors:middle")
    assert verify(f"{folder}/proof.safetensors").ok
    with pytest.raises(UsageError, match="nothing about 'late'; leave out :late"):
        verify(f"{folder}/proof.safetensors:late")


RAISED = [
    ("samples.lower", "lower end, samples"),
    ("population.lower", "lower end, populations"),
    ("critics.0.folds.0.samples_lower", "critic"),
    ("critics.1.population_lower", "critic"),
]
LOWERED = [("samples.upper", "upper end, samples"), ("population.upper", "upper end, populations")]


@pytest.mark.parametrize(("path", "finding"), RAISED + LOWERED)
@pytest.mark.parametrize("share", [0.5, 1e-3, 9e-10])
def test_a_claim_that_goes_further_is_denied(path, finding, share, evidence, tmp_path):
    factor = 1 + share if (path, finding) in RAISED else 1 - share
    checked = verify(
        forged(evidence, tmp_path, statement=lambda s: changed_at(s, path, lambda claim: claim * factor + 1e-12 * share))
    )
    assert len(wrong(checked)) == 1
    assert wrong(checked).pop().startswith(finding)


@pytest.mark.parametrize(("path", "value"), [("samples.lower", 0.0), ("samples.upper", 1e9), ("population.upper", None)])
def test_a_claim_that_says_less_is_proved(path, value, evidence, tmp_path):
    assert verify(forged(evidence, tmp_path, statement=lambda s: changed_at(s, path, value))).ok


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("confidence", 0.999),
        ("jointly_with", 1),
        ("jointly_with", 50),
        ("seed", 1),
        ("a.digest", None),
        ("b.digest", "0" * 64),
        ("upper.tried", 3),
    ],
)
def test_a_changed_condition_is_denied(path, value, evidence, tmp_path):
    assert not verify(forged(evidence, tmp_path, statement=lambda s: changed_at(s, path, value))).ok


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("confidence", 2.0),
        ("confidence", "high"),
        ("jointly_with", 0),
        ("jointly_with", 1.5),
        ("method", "hope"),
        ("method", "empirical-bernstein"),
        ("metric", "l3"),
        ("samples.lower", "large"),
        ("samples.lower", None),
        ("samples.lower", float("nan")),
        ("samples.upper", float("inf")),
        ("seed", -1),
        ("seed", True),
        ("another", 1),
        ("a", 7),
        ("critics", []),
        ("critics.0.folds.0.critic", "[]"),
        ("critics.0.folds.0.critic", "[" * 100_000),
        ("upper", None),
        ("upper.blocks", 10**9),
        ("upper.blocks", 3),
        ("upper.bound", "mcdiarmid"),
        ("upper.bound", "betting"),
        ("a.address", "gone.npy"),
    ],
    ids=str,
)
def test_a_statement_that_makes_no_sense_is_refused(path, value, evidence_of_blocks, tmp_path):
    forgery = forged(evidence_of_blocks, tmp_path, statement=lambda s: changed_at(s, path, value))
    with pytest.raises(WdistError) as caught:
        verify(forgery)
    assert len(str(caught.value).splitlines()) == 1


def largest(tensors, end):
    return max((name for name in tensors if name.endswith(end)), key=lambda name: tensors[name].numel())


def scaled_weights(tensors):
    tensors[largest(tensors, "weight")] *= 2


def fewer_arcs(tensors):
    for part in ("rows", "columns", "mass"):
        tensors[f"0/plan.{part}"] = tensors[f"0/plan.{part}"][1:].clone()


def lighter(tensors):
    tensors["0/plan.mass"] *= 0.5


def near_arcs_only(tensors):
    tensors["0/plan.columns"] = torch.zeros_like(tensors["0/plan.columns"])


def shifted_duals(tensors):
    for side in ("0/dual.u", "0/dual.v"):
        tensors[side] += torch.linspace(0, 1, len(tensors[side]), dtype=torch.float64)


def other_held_out(tensors):
    tensors["0/held-out.0.a"] += 1


@pytest.mark.parametrize(
    "forgery",
    [scaled_weights, fewer_arcs, lighter, near_arcs_only, shifted_duals, other_held_out],
    ids=lambda forgery: forgery.__name__,
)
def test_evidence_that_was_changed_does_not_prove_what_is_false(forgery, evidence, tmp_path):
    exact = evidence[2]
    checked = verify(forged(evidence, tmp_path, tensors=forgery))
    assert checked.estimate.samples.lower <= exact * (1 + 1e-12)
    assert checked.estimate.samples.upper >= exact * (1 - 1e-12)
    assert bool(checked) == checked.ok
    assert forgery is scaled_weights or not checked.ok


def test_a_block_of_less_mass_proves_nothing(evidence_of_blocks, tmp_path):
    def lighter_block(tensors):
        tensors["0/block.2.mass"] *= 0.9

    assert wrong(verify(forged(evidence_of_blocks, tmp_path, tensors=lighter_block))) == {"upper end, populations"}


@pytest.mark.parametrize("weaker", [0.5, 0.98])
def test_the_spread_of_dual_variables_that_are_not_optimal_bounds_nothing(weaker, evidence, tmp_path):
    def scaled(tensors):
        for side in ("0/dual.u", "0/dual.v"):
            tensors[side] *= weaker

    checked = verify(forged(evidence, tmp_path, tensors=scaled))
    assert {"lower end, samples", "upper end, populations"} <= wrong(checked)
    assert checked.estimate.population.upper is None


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.update({"0/plan.mass": -t["0/plan.mass"]}),
        lambda t: t.update({"0/plan.mass": t["0/plan.mass"] * torch.nan}),
        lambda t: t.update({"0/plan.rows": -t["0/plan.rows"]}),
        lambda t: t.update({"0/plan.rows": t["0/plan.rows"] + 10**6}),
        lambda t: t.update({"0/plan.rows": t["0/plan.rows"].double()}),
        lambda t: t.update({"0/plan.mass": t["0/plan.mass"][1:].clone()}),
        lambda t: t.pop("0/plan.columns"),
        lambda t: t.update({"0/dual.u": t["0/dual.u"][1:].clone()}),
        lambda t: t.pop("0/dual.v"),
        lambda t: t.update({"0/note": torch.zeros(1)}),
        lambda t: t.update({"7/plan.rows": torch.zeros(1)}),
        lambda t: t.update({"0/critic.0.0.layers.9.weight": torch.zeros(1)}),
        lambda t: t.update({"0/block.9.rows": torch.zeros(1, dtype=torch.int64)}),
        lambda t: t.pop("0/critic.0.0.shift"),
        lambda t: t.update({"0/critic.0.0.shift": torch.zeros(7, dtype=torch.float64)}),
    ],
)
def test_evidence_of_another_form_is_refused(change, evidence, tmp_path):
    forgery = forged(evidence, tmp_path, tensors=change)
    with pytest.raises(SourceError) as caught:
        verify(forgery)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("factor", [1e6, 1e9, 1e20, 1e38, 1e150, 1e300, -1e300])
def test_dual_variables_that_overflow_prove_nothing_false(factor, evidence, tmp_path):
    exact = evidence[2]

    def scale(tensors):
        for side in ("0/dual.u", "0/dual.v"):
            tensors[side] *= factor

    forgery = forged(evidence, tmp_path, tensors=scale, statement=lambda s: changed_at(s, "samples.upper", None))
    checked = verify(forgery)
    assert checked.estimate.samples.lower <= exact


@pytest.mark.parametrize("tensor", ["0/plan.mass", "0/dual.u"])
def test_a_proof_without_its_evidence_proves_less(tensor, evidence, tmp_path):
    def without(tensors):
        for name in [name for name in tensors if name.startswith(tensor.rpartition(".")[0])]:
            del tensors[name]

    checked = verify(forged(evidence, tmp_path, tensors=without))
    missing = "upper end, samples" if "plan" in tensor else "lower end, samples"
    assert wrong(checked) == {missing, "upper end, populations"}


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize("change", ["one value", "one row less", "order", "stored type"])
def test_changed_samples_are_noticed(side, change, evidence):
    folder, *_ = evidence
    sets = {name: np.load(folder / f"{name}.npy") for name in "ab"}
    values = sets[side]
    if change == "one value":
        values[17, 1] = np.nextafter(values[17, 1], np.inf)
    elif change == "one row less":
        sets[side] = values[:-1]
    elif change == "order":
        sets[side] = values[::-1].copy()
    else:
        sets[side] = values.astype(np.float32)
    try:
        noticed = f"samples {side.upper()}" in wrong(verify(folder / "proof.safetensors", sets["a"], sets["b"]))
    except SourceError as error:
        noticed = "samples than these sources hold" in str(error)
    assert noticed


@pytest.mark.parametrize("sizes", [(120, 90), (90, 90)])
def test_swapped_sides_are_told(sizes, tmp_path):
    for name, side in zip("ab", two_moons(*sizes, 3), strict=True):
        np.save(tmp_path / f"{name}.npy", side)
    found = estimate(tmp_path / "a.npy", tmp_path / "b.npy", critic="mean-difference", baselines="none")
    save_proof(found, tmp_path / "proof.safetensors")
    with pytest.raises(SourceError, match=r"A and B are swapped: .* is .*a\.npy, and B is .*b\.npy; exchange them"):
        verify(tmp_path / "proof.safetensors", tmp_path / "b.npy", tmp_path / "a.npy")


def test_other_numbers_of_samples_are_told(evidence):
    folder, *_ = evidence
    with pytest.raises(SourceError, match=r"is about .* samples than these sources hold \(120 and 50\)"):
        verify(folder / "proof.safetensors", folder / "a.npy", np.load(folder / "b.npy")[:50])


def test_samples_of_another_dimension_are_refused(evidence):
    folder, *_ = evidence
    with pytest.raises(SourceError, match="is about samples of 3 coordinates"):
        verify(folder / "proof.safetensors", *two_moons(30, 30, 2))


@pytest.mark.usefixtures("no_transport")
@pytest.mark.parametrize("draws", [None, 700])
def test_drawn_samples_are_drawn_anew(tmp_path, draws):
    a, b = "synthetic:gaussian?dim=2&shift=1", "synthetic:gaussian?dim=2"
    found = estimate(a, b, settings=SMALL, steps=20, baselines="none", seed=5, draws=draws)
    save_proof(found, tmp_path / "proof.safetensors")
    checked = verify(tmp_path / "proof.safetensors")
    assert checked.ok
    assert checked.estimate.samples.n_a == (draws or 20_000)
    assert checked.endless
    assert not verify(tmp_path / "proof.safetensors", "synthetic:gaussian?dim=2&shift=0.99", b).ok


def test_trust_covers_only_what_was_passed(evidence, tmp_path):
    code = "factory.py:make?weights=w.pt&factory=factory.py:make"
    by_address = forged(evidence, tmp_path, statement=lambda s: changed_at(s, "a.address", code))
    with pytest.raises((TrustRequired, SourceError)):
        verify(by_address, access=Access(trust=True))
    (tmp_path / "evil.py").write_text("raise SystemExit('code ran')\n")
    features = {"spec": f"{tmp_path}/evil.py:f", "digest": None}
    by_features = forged(evidence, tmp_path, statement=lambda s: changed_at(s, "features", features))
    with pytest.raises(TrustRequired, match="covers only what you type"):
        verify(by_features, access=Access(trust=True))


def test_what_is_no_proof_is_refused(evidence, tmp_path):
    folder, *_ = evidence
    with pytest.raises(SourceError, match="safetensors"):
        verify(folder / "a.npy")
    with pytest.raises(SourceError, match=r"there is no file .*; give a file that wdist\.save_proof wrote"):
        verify(folder / "missing.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(SourceError, match="not a proof that this version of wdist reads"):
        verify(tmp_path / "other.safetensors")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A folder with two tables of numbers, categories and dates, and a proof of W1 in standard deviations."""
    folder = tmp_path_factory.mktemp("tables")
    for name, seed in (("a", 0), ("b", 1)):
        random = np.random.default_rng(seed)
        ages, kinds, days = (
            random.normal(40 + 5 * seed, 9, 120),
            random.choice(["u", "v", "w"][: 2 + seed], 120),
            random.integers(1, 29, 120),
        )
        rows = [f"{age:.1f},{kind},2024-01-{day:02d}" for age, kind, day in zip(ages, kinds, days, strict=True)]
        rows[5 + seed] = ",u,"
        (folder / f"{name}.csv").write_text("\n".join(["age,kind,day", *rows]) + "\n")
    access = Access(scale="std", missing="level")
    found = estimate(folder / "a.csv", folder / "b.csv", settings=SMALL, steps=30, access=access)
    save_proof(found, folder / "proof.safetensors")
    return folder, found, None


def test_a_metric_of_scaled_columns_is_proved_again(tables):
    """The proof carries the encoding: nothing but the file is named, and the exact W1 in that metric lies between the ends."""
    folder = tables[0]
    checked = verify(folder / "proof.safetensors")
    assert checked.ok, checked.findings
    assert checked.estimate.a.scaling == "std"
    assert "standard deviations in A" in checked.estimate.a.units
    x, y = (found_rows(folder / name, checked.estimate.a.columns) for name in ("a.csv", "b.csv"))
    exact = ot.emd2([], [], ot.dist(x, y, metric="euclidean"))
    assert checked.estimate.samples.lower <= exact * (1 + 1e-9)
    assert exact <= checked.estimate.samples.upper * (1 + 1e-9)


def found_rows(path, columns):
    """Rows of the table in the metric of the proof, by pandas and the formula of the guide."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(path)
    age, kind, day = columns
    days = pandas.to_datetime(frame["day"]).map(lambda t: t.timestamp() / 86400 if t == t else np.nan)
    parts = [(frame["kind"] == level).astype(float) / np.sqrt(2) for level in kind.levels]
    for values, column in ((frame["age"], age), (days, day)):
        parts += [values.fillna(column.fill) / column.scale, values.isna().astype(float)]
    return np.stack(parts, axis=1)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("columns.0.scale", 1.0),
        ("columns.0.scale", lambda scale: scale * 0.5),
        ("columns.2.scale", lambda scale: scale * (1 + 1e-6)),
        ("columns.0.fill", lambda fill: fill + 1),
        ("scaling", "iqr"),
        ("scaling", "lengths.json"),
        ("missing columns", lambda statement: None),
    ],
)
def test_a_forged_unit_proves_nothing_about_the_metric_that_was_claimed(path, value, tables, tmp_path):
    def change(statement):
        if path == "missing columns":
            statement["columns"], statement["scaling"] = None, "none"
        else:
            changed_at(statement, path, value)

    forgery = forged(tables, tmp_path, statement=change)
    if path == "missing columns":
        with pytest.raises(SourceError, match="1 of 120 rows misses a value"):
            verify(forgery)
        return
    checked = verify(forgery)
    if path == "scaling" and value == "lengths.json":
        # The same metric, said to come from a file: the lengths that it rests on are told.
        (units,) = (finding.detail for finding in checked.findings if finding.what == "units of columns")
        assert "age / " in units
    else:
        assert not checked.ok


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("scaling", "none"),
        ("columns.0.scale", 0.0),
        ("columns.0.scale", -1.0),
        ("columns.0.type", "text"),
        ("columns.1.levels", ["u", "u"]),
        ("columns.0.fill", None),
        ("folds", 2),
    ],
)
def test_columns_that_make_no_sense_are_refused(path, value, tables, tmp_path):
    with pytest.raises(SourceError, match=r"damaged proof|give the sources of the proof"):
        verify(forged(tables, tmp_path, statement=lambda s: changed_at(s, path, value)))


def test_tables_with_other_levels_or_columns_are_refused(tables, tmp_path):
    folder = tables[0]
    text = (folder / "b.csv").read_text()
    for changed in (
        text.replace(",u,", ",z,"),
        text.replace("age,kind,day", "age,sort,day"),
        text.replace(",u,", ",1,").replace(",v,", ",2,").replace(",w,", ",3,"),
    ):
        (tmp_path / "b.csv").write_text(changed)
        with pytest.raises(SourceError, match=r"give the (same tables|sources of the proof)"):
            verify(folder / "proof.safetensors", folder / "a.csv", tmp_path / "b.csv")


def test_rows_with_missing_values_are_left_out_again(tables, tmp_path):
    folder = tables[0]
    found = estimate(folder / "a.csv", folder / "b.csv", settings=SMALL, steps=30, access=Access(missing="drop"))
    assert (found.a.dropped, found.b.dropped) == (1, 1)
    save_proof(found, tmp_path / "proof.safetensors")
    assert verify(tmp_path / "proof.safetensors").ok


def test_a_fitted_metric_has_no_folds_and_its_upper_bound_rests_on_other_rows(tables):
    folder, found, _ = tables
    with pytest.raises(UsageError, match="folds holds every sample out in turn, but the units"):
        estimate(folder / "a.csv", folder / "b.csv", settings=SMALL, steps=30, folds=2, access=Access(scale="std", missing="level"))
    upper = found.transport.population_upper
    assert sum(len(np.unique(plan.rows)) for plan in upper.plans) <= 50


def test_folds_of_stored_samples_against_draws_are_proved_again(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(60, 2)) + 1)
    found = estimate(tmp_path / "a.npy", "synthetic:gaussian?dim=2", critic="mean-difference", baselines="none", folds=3, draws=700)
    save_proof(found, tmp_path / "proof.safetensors")
    assert verify(tmp_path / "proof.safetensors").ok
