"""``wdist merge``: shards of a run make its document, and nothing else is taken for a shard."""

import json

import numpy as np
import pytest

import wdist
from tests.trials import untimed
from wdist.cli.main import main
from wdist.errors import ExitStatus

COMPARED = ("--steps", "2", "--critic", "groupsort-bjorck", "--folds", "2")
BENCH = ("bench", "coverage", "--quick", "--trials", "3", "--only", "plane,line")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    random, folder = np.random.default_rng(0), tmp_path_factory.mktemp("sets")
    for number in range(4):
        np.save(folder / f"{number}.npy", random.normal(size=(150, 2)) + 0.3 * number)
    return [str(folder / f"{number}.npy") for number in range(4)]


@pytest.fixture(scope="module")
def documents(sets, tmp_path_factory):
    """Documents of one run, and of its shards, by command."""
    folder = tmp_path_factory.mktemp("documents")

    def run(name, *words):
        main([*words, "-o", str(folder / name), "--quiet"])
        return str(folder / name)

    compare = ("compare", *sets, *COMPARED)
    return {
        "compare": (run("whole.json", *compare), [run(f"{k}.json", *compare, "--shard", f"{k}/3") for k in (1, 2, 3)]),
        "bench": (run("suite.json", *BENCH), [run(f"suite-{k}.json", *BENCH, "--shard", f"{k}/2") for k in (1, 2)]),
        "other": run("other.json", *compare, "--seed", "1", "--shard", "2/3"),
        "samples": run("samples.json", "compare", *sets[:3], sets[1], *COMPARED, "--shard", "2/3"),
    }


@pytest.mark.parametrize("command", ["compare", "bench"])
def test_shards_make_the_document_of_one_run(command, documents, tmp_path, capsys):
    whole, shards = documents[command]
    capsys.readouterr()
    files = ["-o", str(tmp_path / "merged.json"), "--plot", str(tmp_path / "merged.png")]
    assert main(["merge", *reversed(shards), *files, "--json"]) == ExitStatus.DONE
    assert (tmp_path / "merged.png").read_bytes().startswith(b"\x89PNG")
    merged = json.loads((tmp_path / "merged.json").read_text())
    assert json.loads(capsys.readouterr().out) == merged
    with open(whole) as file:
        assert untimed(merged) == untimed(json.load(file))
    assert merged["shard"] is None


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (lambda d: d["compare"][1][:2], "shard 3/3 is missing; give the documents of all 3"),
        (lambda d: [d["compare"][1][0], *d["compare"][1]], "shard 1/3 is given twice; give each shard once"),
        (lambda d: [d["compare"][0]], "is the document of a whole run, not of a shard"),
        (lambda d: [d["compare"][1][0], d["other"]], "are shards of different runs (seed: 1 and 0)"),
        (lambda d: [d["compare"][1][0], d["samples"]], "are shards of different runs"),
        (lambda d: [d["compare"][1][0], d["bench"][1][0]], "are shards of different runs"),
        (lambda d: ["nowhere.json"], "there is no file nowhere.json"),
    ],
)
def test_what_does_not_fit_together_is_refused_in_one_sentence(given, sentence, documents, capsys):
    assert main(["merge", *given(documents)]) == ExitStatus.BAD_INPUT
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_python_merges_shards(documents):
    found = wdist.merge(documents["compare"][1])
    assert [entry.name for entry in found.ranking] == ["1.npy", "2.npy", "3.npy"]
    assert found.noise_floor is not None
    with pytest.raises(wdist.WdistError, match="nothing to merge"):
        wdist.merge([])


def test_a_shard_from_python_is_one_of_the_command_line(sets, documents, tmp_path):
    whole, (first, _, third) = documents["compare"]
    part = wdist.compare(sets[0], sets[1:], steps=2, critic="groupsort-bjorck", folds=2, shard="2/3")
    assert part.shard.number == 1
    assert "This is shard 2 of 3, with 1 of 3 sources" in " ".join(str(part).split())
    second = tmp_path / "second.json"
    second.write_text(part.to_json())
    merged = wdist.merge([first, second, third])
    with open(whole) as file:
        assert untimed(merged.to_dict()) == untimed(json.load(file))
    with pytest.raises(wdist.WdistError, match='shard="3/2" does not name a part of a whole; write shard="1/3"'):
        wdist.compare(sets[0], sets[1:], shard="3/2")
    with pytest.raises(wdist.WdistError, match="shard must be text, not 2"):
        wdist.compare(sets[0], sets[1:], shard=2)


def test_shards_in_a_feature_space_are_joined_if_it_is_the_same(sets, tmp_path, monkeypatch, capsys):
    """Each shard comes from a process of its own, and opens the function again."""
    monkeypatch.chdir(tmp_path)
    for name, factor in (("twice", 2), ("thrice", 3)):
        (tmp_path / f"{name}.py").write_text(f"def f(x):\n    return {factor} * x\n")
    for number, name in ((1, "twice"), (2, "twice"), (2, "thrice")):
        words = ("--features", f"{name}.py:f", "--trust", "--shard", f"{number}/2", "--critic", "mean-difference", "--quiet")
        assert main(["compare", *sets[:3], *words, "-o", f"{name}-{number}.json"]) == ExitStatus.DONE
    assert main(["merge", "twice-1.json", "twice-2.json"]) == ExitStatus.DONE
    assert main(["merge", "twice-1.json", "thrice-2.json"]) == ExitStatus.BAD_INPUT
    assert "are shards of different runs (features: thrice.py:f" in capsys.readouterr().err


def test_a_shard_of_a_suite_says_so(capsys):
    assert main([*BENCH, "--shard", "2/2", "--quiet"]) == ExitStatus.DONE
    assert "shard 2 of 2: only its rows are shown and judged" in " ".join(capsys.readouterr().out.split())


def test_a_damaged_shard_is_refused(documents, tmp_path, capsys):
    with open(documents["compare"][1][0]) as file:
        document = json.load(file)
    kept = document["shard"]["kept"]
    for damaged in ("{", kept.replace("wdist.comparison.ranking:ComparisonShard", "os:path"), kept.replace('"of"', '"off"')):
        path = tmp_path / "damaged.json"
        path.write_text(json.dumps({**document, "shard": {**document["shard"], "kept": damaged}}))
        assert main(["merge", str(path)]) == ExitStatus.BAD_INPUT
        assert "damaged" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["0/2", "3/2", "1", "a/b"])
def test_a_part_that_is_none_is_refused(words, sets, capsys):
    assert main(["compare", *sets, "--shard", words]) == ExitStatus.BAD_INPUT
    assert "--shard" in capsys.readouterr().err


def test_what_cannot_be_divided_is_refused(sets, capsys):
    assert main(["compare", *sets[:2], "--shard", "1/2"]) == ExitStatus.BAD_INPUT
    assert "each needs one; make fewer shards" in capsys.readouterr().err
    assert main(["bench", "speed", "--quick", "--shard", "1/2"]) == ExitStatus.BAD_INPUT
    assert "measured on one machine" in capsys.readouterr().err
