"""``wdist gan train``: what a user types, sees and pastes."""

import json
import shlex

import pytest

from wdist.gan import files

SMALL = ("--latent", 4, "--width", 8, "--critic-width", 16, "--batch-size", 8)


@pytest.fixture(autouse=True)
def without_export(monkeypatch):
    """It takes longer than the rest, and a test of the library makes one."""
    monkeypatch.setattr(files, "export_generator", lambda path, generator, latent: None)


def test_a_training_ends_with_addresses_that_can_be_pasted(wdist, samples):
    answer = wdist("gan", "train", "--data", f"{samples}/digits.h5?limit=60", "-o", "run", "--steps", 2, *SMALL)
    assert answer.status == 0
    assert "2 steps against groupsort-conv" in answer.out
    assert "is at least" in answer.out
    assert answer.err.splitlines()[0].startswith("step 1, ")
    (line,) = [line for line in answer.out.splitlines() if line.startswith("generator")]
    (address,) = shlex.split(line)[1:]
    assert wdist("inspect", address).status == 0
    (line,) = [line for line in answer.out.splitlines() if line.startswith("next")]
    assert shlex.split(line)[1:] == ["wdist", "estimate", f"{samples}/digits.h5?limit=60", address]


def test_resuming_takes_what_is_in_the_folder_and_says_so(wdist, samples):
    data = f"{samples}/digits.h5?limit=60"
    assert wdist("gan", "train", "--data", data, "-o", "run", "--steps", 1, "--quiet", *SMALL).err == ""
    answer = wdist("gan", "train", "-o", "run", "--resume", "--steps", 2, "--json", "--quiet")
    document = json.loads(answer.out)
    assert (document["command"], document["steps"], document["resumed_at"]) == ("gan train", 2, 1)
    assert [each["step"] for each in document["measured"]] == [1, 2]
    assert document["settings"]["data"] == data
    schema = json.loads(wdist("schema", "gan").out)
    assert set(schema["required"]) <= set(document) <= set(schema["properties"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-o", "run"), "name them with --data ADDRESS, or continue a training with --resume"),
        (("-o", "run", "--resume"), "nothing to resume"),
        (("--data", "{digits}"), "--output"),
        (("--data", "{digits}", "-o", "taken"), "is a file"),
        (("--data", "{digits}", "-o", "run", "--critic", "linear"), "choose one of groupsort-conv"),
        (("--data", "{digits}", "-o", "run", "--budget", "soon"), "not a length of time"),
        (("--data", "{digits}", "-o", "run", "--steps", "2", "--budget", "2s"), "give one of them"),
        (("--data", "synthetic:sphere?dim=9", "-o", "run"), "not images"),
        (("--data", "{digits}", "-o", "run", "--latnet", "3"), "did you mean --latent?"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_sentence(wdist, samples, tmp_path, arguments, words):
    (tmp_path / "taken").write_text("")
    answer = wdist("gan", "train", *(str(argument).format(digits=samples / "digits.h5") for argument in arguments))
    assert answer.status == 2
    assert words in answer.error


def test_the_help_fits_80_columns_and_shows_an_example(wdist):
    for arguments in (("gan",), ("gan", "train")):
        answer = wdist(*arguments, "--help")
        assert answer.status == 0
        assert max(len(line) for line in answer.out.splitlines()) <= 80
    assert "Example: wdist gan train" in answer.out


def test_generators_of_table_2_are_named_by_column(wdist):
    assert "--generator mnist=ADDRESS" in wdist("reproduce", "table2", "--generator", "g.safetensors").error
    assert "have no effect on figure13" in wdist("reproduce", "figure13", "--data", "mnist=a.h5").error
