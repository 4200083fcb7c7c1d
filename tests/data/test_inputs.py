"""Which files an address reads, so that outputs keep away from them."""

import os

import pytest
from PIL import Image

from wdist.data.inputs import reads


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.npy", "emb.py", "w.pt", "last.json", "g.pt"):
        (tmp_path / name).write_bytes(b"content")
    (tmp_path / "package" / "inner").mkdir(parents=True)
    for name in ("package/__init__.py", "package/inner/nets.py"):
        (tmp_path / name).write_text("")
    for name in ("images/deep/00.png", "elsewhere/01.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name)
    (tmp_path / "images" / "notes.json").write_text("{}")
    (tmp_path / "images" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "images" / "single.png").symlink_to(tmp_path / "kept.bin")
    Image.new("L", (4, 4)).save(tmp_path / "kept.bin", format="PNG")
    os.link(tmp_path / "a.npy", tmp_path / "hard.json")
    (tmp_path / "soft.json").symlink_to("a.npy")
    return tmp_path


@pytest.mark.parametrize(
    ("address", "file"),
    [
        ("a.npy", "a.npy"),
        ("a.npy?rows=0:30", "./images/../a.npy"),
        ("a.npy", "hard.json"),
        ("a.npy", "soft.json"),
        ("soft.json", "a.npy"),
        ("last.json:first", "last.json"),
        ("last.json:first:with:colons", "last.json"),
        ("emb.py:embed", "emb.py"),
        ("package.inner.nets:embed", "package/inner/nets.py"),
        ("package.inner.nets:embed", "package/__init__.py"),
        ("g.pt:weights?factory=emb.py:Net&latent=normal:4", "g.pt"),
        ("g.pt?factory=emb.py:Net&latent=normal:4", "emb.py"),
        ("g.pt?factory=package.inner.nets:Net", "package/inner/nets.py"),
        ("resnet18?weights=w.pt&layer=avgpool", "w.pt"),
        ("images", "images/deep/00.png"),
        ("images?limit=30", "images/deep/new.png"),
        ("images", "images/new.JPG"),
        ("images", "elsewhere/01.png"),
        ("images", "elsewhere/new.png"),
        ("images", "kept.bin"),
        ("torchvision:ImageFolder?root=images", "images/deep/00.png"),
        ("torchvision:CocoDetection?root=images&annFile=last.json", "last.json"),
    ],
)
def test_what_is_read_is_recognised(address, file, folder):
    assert reads(address, folder / file)


@pytest.mark.parametrize(
    ("address", "file"),
    [
        ("a.npy", "result.json"),
        ("a.npy", "last.json"),
        ("images", "images/notes.json"),
        ("images", "images/result.json"),
        ("images", "result.png"),
        ("emb.py:embed", "result.py"),
        ("synthetic:gaussian?dim=2", "a.npy"),
        ("torchvision:MNIST?root=.", "last.json"),
        ("", "a.npy"),
        ("a.npy?broken", "last.json"),
        ("~nobody-of-this-name/a.npy", "a.npy"),
        ("x" * 5000, "a.npy"),
    ],
)
def test_other_files_are_free(address, file, folder):
    assert not reads(address, folder / file)
