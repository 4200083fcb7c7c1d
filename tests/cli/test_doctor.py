"""``wdist doctor`` says what this machine lacks."""

import importlib
import json

import pytest

from wdist.errors import SourceError


def test_what_the_work_needs_is_listed(wdist):
    answer = wdist("doctor")
    assert answer.status == 0
    assert answer.err == ""
    for what in ("python", "torch", "device", "threads", "memory", "torchvision", "matplotlib", "onnxruntime"):
        assert what in answer.out
    assert max(len(line) for line in answer.out.splitlines()) <= 80


def test_json_says_the_same(wdist):
    document = json.loads(wdist("doctor", "--json").out)
    assert document["ok"] is True
    assert {check["what"] for check in document["checks"]} > {"python", "torch", "memory"}


@pytest.mark.parametrize(("package", "status"), [("h5py", 2), ("onnxruntime", 0)])
def test_a_broken_package_is_named_with_a_remedy_and_fails_only_when_it_is_needed(wdist, monkeypatch, package, status):
    real = importlib.import_module

    def broken(name, *rest):
        if name == package:
            raise RuntimeError("operator nms does not exist")
        return real(name, *rest)

    monkeypatch.setattr("wdist.cli.doctor.import_module", broken)
    answer = wdist("doctor", "--json")
    (check,) = [check for check in json.loads(answer.out)["checks"] if check["what"] == package]
    assert answer.status == status
    assert check["ok"] is False
    assert "install" in check["found"]


def test_a_torchvision_that_cannot_be_imported_is_no_reason_to_fail(wdist, monkeypatch):
    def broken():
        raise SourceError("torchvision cannot be imported (undefined symbol); install the version that belongs to torch")

    monkeypatch.setattr("wdist.data.sources.torchvision_dataset.import_torchvision", broken)
    answer = wdist("doctor", "--json")
    (check,) = [check for check in json.loads(answer.out)["checks"] if check["what"] == "torchvision"]
    assert answer.status == 0
    assert check["ok"] is False
    assert "install" in check["found"]
