"""Several processes find what one finds: the laws of :mod:`tests.distributed.laws`, in jobs of two and of three processes."""

import json

import pytest

from tests.distributed import jobs, laws


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.slow)], ids="{} processes".format)
def failures(request, tmp_path_factory):
    """Failures in each process, by law."""
    result = tmp_path_factory.mktemp("laws") / "result.json"
    done = jobs.run(jobs.HERE / "laws.py", result, processes=request.param, timeout=600)
    assert result.exists(), done.stderr
    return json.loads(result.read_text())


@pytest.mark.parametrize("law", [law.__name__ for law in laws.LAWS])
def test_several_processes_find_what_one_finds(law, failures):
    assert not any(law in failed for failed in failures), "\n".join(failed.get(law, "") for failed in failures)
