"""Damaged files: whatever is wrong with one, it is read or refused in one sentence."""

import shutil
import warnings
from pathlib import Path

import pytest
import torch
from PIL import Image, features

from tests.damage import damaged
from tests.data.sources.conftest import ARRAYS, GENERATORS
from wdist.data.access import Access
from wdist.data.inspection import inspect_source
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import FiniteSource
from wdist.data.survey import survey
from wdist.errors import SourceError

COPIES = 40
IMAGES = {"PNG": "png", "JPEG": "jpg", "GIF": "gif", "TIFF": "tif", "BMP": "bmp", "TGA": "tga", "PPM": "ppm", "ICO": "ico"}
IMAGES |= {"WEBP": "webp"} if features.check("webp") else {}
IMAGES |= {"JPEG2000": "jp2"} if features.check("jpg_2000") else {}
IMAGES |= {"AVIF": "avif"} if features.check("avif") else {}


def read(address):
    source = open_source(address, Access(trust=True))
    if isinstance(source, FiniteSource):
        survey(source)
    else:
        source.draw(3, torch.Generator().manual_seed(0))


def check_copies(path, address, copies=COPIES):
    """Reads and inspects damaged copies of a file in its place."""
    content, refusals = path.read_bytes(), []
    for seed in range(copies):
        path.write_bytes(damaged(content, f"{path.name} {seed}"))
        for look in (read, lambda address: inspect_source(address, Access(trust=True))):
            try:
                with warnings.catch_warnings(action="ignore"):
                    look(address)
            except SourceError as error:
                refusals.append(str(error))
    assert refusals
    assert [each for each in refusals if "\n" in each or ";" not in each] == [], "no sentence, or no way out"


@pytest.mark.parametrize("name", ARRAYS)
def test_damaged_arrays(name, tmp_path):
    address = ARRAYS[name](tmp_path)
    (path,) = tmp_path.iterdir()
    check_copies(path, address)


def test_what_a_parser_says_is_shown_only_if_it_is_a_sentence(tmp_path):
    (tmp_path / "x.pt").write_bytes(b"hello world, this is text")
    with pytest.raises(SourceError, match=r"not a file of torch\.save; save it again"):
        read(f"{tmp_path}/x.pt")


@pytest.mark.parametrize("form", IMAGES)
def test_damaged_images(form, tmp_path):
    picture = torch.randint(256, (16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)).numpy()
    Image.fromarray(picture).save(tmp_path / f"a.{IMAGES[form]}", format=form)
    shutil.copy(tmp_path / f"a.{IMAGES[form]}", tmp_path / f"b.{IMAGES[form]}")
    check_copies(tmp_path / f"b.{IMAGES[form]}", str(tmp_path))


@pytest.mark.parametrize("name", GENERATORS)
def test_damaged_generators(name, tmp_path):
    address = GENERATORS[name](tmp_path)
    check_copies(Path(address.partition("?")[0]), address, copies=8)
