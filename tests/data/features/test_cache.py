"""Features that are kept on disk: recalled for the same samples, weights and options, and computed again for any others."""

import errno
import threading
from pathlib import Path

import pytest
import torch

from wdist import compare
from wdist.data.access import Access
from wdist.data.comparable import surveyed
from wdist.data.features import cache as caches
from wdist.data.features import space as spaces
from wdist.data.features.opening import BackboneSpace, open_features
from wdist.data.sources.opening import open_source
from wdist.data.sources.torchvision_dataset import import_torchvision
from wdist.errors import OutputError, UsageError

GREY = torch.rand(40, 8, 8, generator=torch.Generator().manual_seed(0))
SPEC = "resnet18?weights=resnet.pt"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The present folder, with weights."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    torch.save(import_torchvision("torchvision.models").resnet18(weights=None).state_dict(), tmp_path / "resnet.pt")
    return tmp_path


@pytest.fixture
def seen(monkeypatch):
    """Number of samples that the network sees in each call."""
    run, counts = BackboneSpace.run, []
    monkeypatch.setattr(BackboneSpace, "run", lambda self, x: counts.append(len(x)) or run(self, x))
    return counts


def features(spec=SPEC, samples=GREY, folder="kept"):
    space = open_features(spec, Access(feature_cache=Path(folder)))
    source, found = surveyed(samples, Access())
    return space.of(source, (0.0, 1.0), digest=found.digest)


def values(rows):
    return rows.read(slice(0, rows.count))


def test_the_network_sees_each_sample_once_in_all_runs(seen, folder):
    first = values(features())
    alone = values(open_features(SPEC).of(open_source(GREY), (0.0, 1.0)))
    assert torch.equal(first, alone)
    seen.clear()
    again = features()
    assert torch.equal(values(again), first)
    assert sum(seen) == 2 * 16, "only the few that show whether samples are independent"
    assert torch.equal(again.read(torch.tensor([3, 39]).numpy()), first[[3, 39]])
    assert len(list((folder / "kept").iterdir())) == 1


def test_a_comparison_computes_the_features_of_each_source_once(seen, folder):
    """Its noise floor is between features that are mapped already."""
    kept = {"features": SPEC, "access": Access(feature_cache=Path("kept")), "critic": "mean-difference"}
    first = compare(GREY, [1 - GREY, GREY**2], **kept)
    assert first.noise_floor is not None
    assert len(list((folder / "kept").iterdir())) == 3
    seen.clear()
    again = compare(GREY, [1 - GREY, GREY**2], **kept)
    assert [entry.samples for entry in again.entries] == [entry.samples for entry in first.entries]
    assert sum(seen) == 3 * 2 * 16, "only the few that show whether samples are independent"


def test_a_stream_of_features_is_read_from_the_file(seen, monkeypatch):
    first = values(features())
    monkeypatch.setattr(spaces, "fits", lambda nbytes: False)
    rows = features()
    seen.clear()
    assert torch.equal(torch.cat([part for _, part in rows.slabs(7)]), first)
    assert not seen


def test_other_samples_weights_and_options_have_features_of_their_own(folder):
    values(features())
    changed = GREY.clone()
    changed[7, 0, 0] += 0.01
    values(features(samples=changed))
    values(features(f"{SPEC}&size=16"))
    values(features(f"{SPEC}&layer=layer1"))
    weights = torch.load("resnet.pt", weights_only=True)
    weights["conv1.weight"] *= 1.5
    torch.save(weights, "resnet.pt")
    other = values(features())
    assert torch.equal(other, values(open_features(SPEC).of(open_source(GREY), (0.0, 1.0))))
    assert len(list((folder / "kept").iterdir())) == 5


@pytest.mark.parametrize("damage", [lambda b: b[:-5], lambda b: b[:200] + b"\1" + b[201:], lambda b: b"", lambda b: b + b"x"])
def test_a_damaged_file_is_computed_again(damage, folder):
    first = values(features())
    (file,) = (folder / "kept").iterdir()
    good = file.read_bytes()
    file.write_bytes(damage(good))
    assert torch.equal(values(features()), first)
    assert file.read_bytes() == good


def test_a_disk_that_fills_leaves_no_half_file_and_the_run_goes_on(folder, monkeypatch):
    expected = values(features(folder="elsewhere"))

    def parts(self):
        yield expected[:10]
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spaces.FeatureRows, "_parts", parts)
    space = open_features(SPEC, Access(feature_cache=Path("kept")))
    monkeypatch.setattr(spaces, "fits", lambda nbytes: False)
    source, found = surveyed(GREY, Access())
    rows = space.of(source, (0.0, 1.0), digest=found.digest)
    assert torch.equal(values(rows), expected)
    assert "the features were not kept: " in rows.info.notes[-1]
    assert "because the disk is full" in rows.info.notes[-1]
    assert not list((folder / "kept").iterdir())


def test_two_runs_at_once_leave_one_whole_file(folder):
    found = []
    runs = [threading.Thread(target=lambda: found.append(values(features()))) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert len(found) == 3
    assert all(torch.equal(found[0], each) for each in found)
    (file,) = (folder / "kept").iterdir()
    assert caches.FeatureCache(folder / "kept").holds(file, tuple(found[0].shape))


def test_features_that_one_run_reads_are_not_replaced_by_another_that_ends_later(folder):
    expected = values(features(folder="elsewhere"))
    (file,) = (folder / "elsewhere").iterdir()
    cache, kept, readers = caches.FeatureCache(folder / "kept"), folder / "kept" / file.name, []

    def parts():
        yield expected[:10]
        readers.append(features())  # from here to the end, as another process would
        yield expected[10:]

    assert cache.keep(kept, tuple(expected.shape), parts()) is None
    assert [each.name for each in (folder / "kept").iterdir()] == [file.name]
    assert torch.equal(readers[0]._kept.read(slice(0, 40)), expected)


def test_what_cannot_be_kept_is_refused_in_a_sentence(folder):
    (folder / "file").write_text("")
    with pytest.raises(OutputError, match=r"feature_cache file/x cannot be created or written to .*; name another folder"):
        open_features(SPEC, Access(feature_cache=Path("file/x")))
    with pytest.raises(UsageError, match="feature_cache has no effect without features"):
        open_features(None, Access(feature_cache=Path("kept")))
    with pytest.raises(UsageError, match="feature_cache works for torchvision networks only"):
        open_features(torch.nn.Flatten(), Access(feature_cache=Path("kept")))
