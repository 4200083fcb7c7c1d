"""Folders of images."""

import os

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageOps

from tests.data.sources.conftest import refused, write_images
from wdist.data.sources.opening import open_source
from wdist.errors import SourceError


def everything(source):
    return source.read(slice(0, source.count))


def save(folder, name, array, mode=None):
    folder.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(folder / name)


def grey(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def test_a_folder_is_searched_to_its_end_whatever_the_case_of_the_suffixes(tmp_path):
    source = open_source(write_images(tmp_path))
    assert source.count == 24
    assert source.info.event_shape == (6, 5, 3)
    assert source.info.bounds == (0.0, 1.0)
    assert source.info.units == "uint8 scaled to [0, 1]"
    first = tmp_path / "images" / "class0" / "0.png"
    assert np.array_equal(everything(source)[0].numpy(), np.asarray(Image.open(first)).ravel())


def test_linked_folders_are_followed_once(tmp_path):
    write_images(tmp_path)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "there").symlink_to(tmp_path / "images")
    (tmp_path / "images" / "back").symlink_to(tmp_path / "links")
    assert open_source(f"{tmp_path}/links").count == 24


@pytest.mark.parametrize("name", ["x.txt", None])
def test_a_folder_without_images_is_refused(name, tmp_path):
    (tmp_path / "folder").mkdir()
    if name:
        (tmp_path / "folder" / name).write_text("no image")
    refused(f"{tmp_path}/folder", "holds no images")


def test_mixed_sizes_are_counted_and_brought_together_on_request(tmp_path):
    for number in range(5):
        save(tmp_path / "m", f"{number}.png", grey(8, 8 + number % 2))
    refused(f"{tmp_path}/m", r"2 sizes \(8x8: 3, 8x9: 2\); make them alike with \?size=8")
    assert open_source(f"{tmp_path}/m?size=4").info.event_shape == (4, 4)
    assert open_source(f"{tmp_path}/m?size=4x6").info.event_shape == (4, 6)


def test_mixed_modes_are_counted_and_brought_together_on_request(tmp_path):
    for number in range(5):
        save(tmp_path / "m", f"{number}.png", grey(8, 8), "RGB" if number < 2 else "L")
    refused(f"{tmp_path}/m", r"2 modes \(L: 3, RGB: 2\); make them alike with \?mode=RGB")
    assert open_source(f"{tmp_path}/m?mode=RGB").info.event_shape == (8, 8, 3)
    grey_source = open_source(f"{tmp_path}/m?mode=L")
    assert everything(grey_source).unique(dim=0).shape[0] == 1, "the same picture in both modes"


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_images_of_16_bits_keep_their_picture_in_8_bits(mode, tmp_path):
    """PIL would turn all their values above 255 to white."""
    save(tmp_path / "m", "0.png", grey(8, 8))
    save(tmp_path / "m", "1.tif", grey(8, 8).astype(np.uint16) * 257)  # PNG files of 16 bits are I to older versions of PIL
    refused(f"{tmp_path}/m", r"2 modes \(L: 1, I;16: 1\); make them alike with \?mode=L")
    source = open_source(f"{tmp_path}/m?mode={mode}")
    assert everything(source).unique(dim=0).shape[0] == 1
    assert "16-bit images are scaled to 8 bits" in source.info.notes


@pytest.mark.parametrize(("names", "option"), [(["0.png", "1.tif"], ""), (["1.tif"], "?mode=L")])
def test_values_of_32_bits_are_never_cut_off(names, option, tmp_path):
    for name in names:
        save(tmp_path / "m", name, grey(8, 8) if name == "0.png" else grey(8, 8).astype(np.float32) * 9)
    refused(f"{tmp_path}/m{option}", r"mode F, whose values have no fixed range")
    assert everything(open_source(f"{tmp_path}/m?mode=F")).max() == 9 * int(grey(8, 8).max())


def test_resizing_is_antialiased(tmp_path):
    """Stripes of one pixel become even grey; taking single pixels would keep black or white."""
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (64, 32))
    save(tmp_path / "s", "stripes.png", stripes)
    values = everything(open_source(f"{tmp_path}/s?size=8"))
    assert ((values > 100) & (values < 155)).all()


@pytest.mark.parametrize(
    ("mode", "shape"), [("1", (6, 5)), ("P", (6, 5, 3)), ("RGBA", (6, 5, 4)), ("LA", (6, 5, 2)), ("I;16", (6, 5))]
)
def test_modes_become_arrays_of_intensities(mode, shape, tmp_path):
    for number in range(2):
        (tmp_path / "m").mkdir(exist_ok=True)
        pixels = grey(6, 5, number)
        image = Image.fromarray(pixels.astype(np.uint16) * 200) if mode == "I;16" else Image.fromarray(pixels).convert(mode)
        image.save(tmp_path / "m" / f"{number}.png")
    source = open_source(f"{tmp_path}/m")
    assert source.info.event_shape == shape
    assert everything(source).shape == (2, np.prod(shape))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(orientation, suffix, tmp_path):
    """As PIL turns them; the header tells the upright size, so that a folder of portraits has one shape."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    (tmp_path / "m").mkdir()
    Image.fromarray(grey(6, 10)).convert("RGB").save(tmp_path / "m" / f"0.{suffix}", exif=exif, lossless=True)
    with Image.open(tmp_path / "m" / f"0.{suffix}") as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    source = open_source(f"{tmp_path}/m")
    assert source.info.event_shape == ((6, 10, 3) if orientation < 5 else (10, 6, 3))
    assert np.array_equal(everything(source)[0].numpy(), upright.ravel())
    told = [note for note in source.info.notes if "upright" in note]
    assert told == (["EXIF orientation turned 1 of 1 images upright"] if orientation > 1 and suffix != "tif" else [])


@pytest.mark.parametrize("suffix", ["gif", "tif", "png", "webp"])
def test_frames_after_the_first_are_told(suffix, tmp_path):
    first, *others = (Image.fromarray(grey(6, 10, seed)) for seed in range(3))
    first.save(tmp_path / f"0.{suffix}", save_all=True, append_images=others)
    first.convert("RGB").save(tmp_path / f"1.{suffix}")
    told = [note for note in open_source(f"{tmp_path}?mode=RGB").info.notes if "frames" in note]
    assert told == ["1 of 2 images have several frames or pages, of which only the first is read"]


def test_damaged_exif_leaves_the_pixels_as_they_are(tmp_path):
    (tmp_path / "m").mkdir()
    Image.fromarray(grey(6, 10)).save(tmp_path / "m" / "0.jpg", exif=b"Exif\0\0no TIFF header")
    source = open_source(f"{tmp_path}/m")
    assert source.info.event_shape == (6, 10)
    assert everything(source).shape == (1, 60)


@pytest.mark.parametrize(("mode", "told"), [("CMYK", ("CMYK images are converted to mode RGB",)), ("RGB", ())])
def test_a_conversion_of_colours_is_told(mode, told, tmp_path):
    (tmp_path / "m").mkdir()
    Image.fromarray(grey(6, 10)).convert(mode).save(tmp_path / "m" / "0.jpg")
    source = open_source(f"{tmp_path}/m")
    assert source.info.event_shape == (6, 10, 3)
    assert source.info.notes[1:] == told, "the first is about units"


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_a_damaged_image_is_named(content, tmp_path):
    write_images(tmp_path)
    path = tmp_path / "images" / "class0" / "99.png"
    path.write_bytes(content if content is not None else (tmp_path / "images" / "class0" / "0.png").read_bytes()[:60])
    with pytest.raises(SourceError, match=r"99\.png cannot be read as an image .*move it"):
        everything(open_source(f"{tmp_path}/images"))


def test_an_image_that_unpacks_to_an_absurd_size_is_refused(tmp_path, monkeypatch):
    write_images(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    refused(f"{tmp_path}/images", "cannot be read as an image")


@pytest.mark.parametrize(
    ("option", "words"), [("size=0", "size=0"), ("size=4x", "size=4x"), ("mode=XYZ", "mode=XYZ"), ("sise=3", "did you")]
)
def test_bad_options_are_refused(option, words, tmp_path):
    refused(f"{write_images(tmp_path)}?{option}", words)


def test_the_same_options_mean_the_same_in_two_runs(tmp_path):
    address = f"{write_images(tmp_path)}?limit=20&size=4"
    assert torch.equal(everything(open_source(address, seed=1)), everything(open_source(address, seed=1)))


@pytest.mark.parametrize("form", ["EPS", "PCX", "SGI"])
def test_the_content_of_a_file_does_not_choose_an_unusual_decoder(form, tmp_path, monkeypatch):
    """EPS, for one, would start Ghostscript, which runs the program that an EPS file is."""
    started = []
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *arguments, **options: started.append(arguments))
    Image.fromarray(grey(8, 8)).save(tmp_path / "a.png", format=form)
    refused(tmp_path, "a.png cannot be read as an image .*of no known format")
    assert not started


@pytest.mark.parametrize(
    ("form", "suffix"), [("PNG", "jpg"), ("JPEG", "jpg"), ("GIF", "gif"), ("WEBP", "webp"), ("TIFF", "tif"), ("TGA", "tga")]
)
def test_the_usual_formats_are_read(form, suffix, tmp_path):
    Image.fromarray(grey(8, 8)).save(tmp_path / f"a.{suffix}", format=form)
    assert open_source(tmp_path).info.event_shape[:2] == (8, 8)


def test_a_pipe_in_a_folder_is_refused_and_not_opened(tmp_path):
    save(tmp_path, "a.png", grey(8, 8))
    os.mkfifo(tmp_path / "b.png")
    refused(tmp_path, "b.png is not a regular file; move it")


def test_an_image_that_changes_between_two_reads_is_noticed(tmp_path):
    for name in "ab":
        save(tmp_path, f"{name}.png", grey(8, 8))
    source = open_source(tmp_path)
    everything(source)
    save(tmp_path, "b.png", grey(8, 8, seed=1))
    with pytest.raises(SourceError, match=r"b\.png changed while it was read"):
        everything(source)
