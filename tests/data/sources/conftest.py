"""Sources of every kind, made on the spot."""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from wdist.data.access import Access
from wdist.data.sources.opening import open_source
from wdist.errors import SourceError

ROWS = np.random.default_rng(0).normal(size=(60, 2, 3)).astype(np.float32)
"""The content of every array file; tables hold it flattened."""

FACTORY = '''
import torch
from torch import nn

class Dense(nn.Module):
    """Has dropout and noise of its own: only eval() and a seeded state of torch make its draws reproducible."""
    def __init__(self, hidden=8, latent_dim=4):
        super().__init__()
        self.latent_dim = latent_dim
        self.net = nn.Sequential(nn.Linear(latent_dim, hidden), nn.Tanh(), nn.Dropout(0.5), nn.Linear(hidden, 6))
    def forward(self, z):
        return self.net(z).reshape(-1, 2, 3) + 0.01 * torch.randn(1)

class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.ConvTranspose2d(5, 3, 6), nn.BatchNorm2d(3), nn.Tanh())
    def forward(self, z):
        return {"sample": self.net(z)}

class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 6)
    def forward(self, z):
        return self.net(z) / 0

def not_a_module():
    return 3
'''


def write_h5(folder: Path) -> str:
    with h5py.File(folder / "a.h5", "w") as file:
        file["group/x"] = ROWS
        file["labels"] = np.arange(60)
        file["packed"] = h5py.SoftLink("/group/x")
    return f"{folder}/a.h5:/group/x"


def write_npy(folder: Path) -> str:
    np.save(folder / "a.npy", ROWS)
    return f"{folder}/a.npy"


def write_fortran(folder: Path) -> str:
    np.save(folder / "f.npy", np.asfortranarray(ROWS))
    return f"{folder}/f.npy"


def write_big_endian(folder: Path) -> str:
    np.save(folder / "big.npy", ROWS.astype(">f4"))
    return f"{folder}/big.npy"


def write_npz(folder: Path) -> str:
    np.savez_compressed(folder / "a.npz", x=ROWS, y=np.arange(60))
    return f"{folder}/a.npz:x"


def write_pt(folder: Path) -> str:
    torch.save({"x": torch.from_numpy(ROWS), "epoch": 3}, folder / "a.pt")
    return f"{folder}/a.pt:x"


def write_old_pt(folder: Path) -> str:
    torch.save(torch.from_numpy(ROWS), folder / "old.pt", _use_new_zipfile_serialization=False)
    return f"{folder}/old.pt"


def write_safetensors(folder: Path) -> str:
    save_file({"x": torch.from_numpy(ROWS), "y": torch.arange(60)}, folder / "a.safetensors")
    return f"{folder}/a.safetensors:x"


def write_csv(folder: Path) -> str:
    np.savetxt(folder / "a.csv", ROWS.reshape(60, 6), delimiter=",", header="a,b,c,d,e,f", comments="", fmt="%.9g")
    return f"{folder}/a.csv"


def write_tsv(folder: Path) -> str:
    np.savetxt(folder / "a.tsv", ROWS.reshape(60, 6), delimiter="\t", fmt="%.9g")
    return f"{folder}/a.tsv"


def write_npy_parts(folder: Path) -> str:
    (folder / "parts").mkdir(exist_ok=True)
    for number, part in enumerate(np.split(ROWS, [13, 14, 40])):
        np.save(folder / "parts" / f"x-{number}.npy", part)
    return f"{folder}/parts"


def write_shards(folder: Path) -> str:
    for number, part in enumerate(np.split(ROWS, [13, 40]), start=1):
        tensors = {"x": torch.from_numpy(part.copy()), "y": torch.arange(len(part))}
        save_file(tensors, folder / f"model-0000{number}-of-00003.safetensors")
    return f"{folder}/model-*.safetensors:x"


def write_tar(path: Path, members: dict[str, bytes]) -> str:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return str(path)


def npy_bytes(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def image_bytes(values: np.ndarray, format: str = "png") -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, format)
    return file.getvalue()


def write_tar_of_arrays(folder: Path) -> str:
    samples = {f"set/{number:04}": values for number, values in enumerate(ROWS)}
    members = {f"{name}{end}": content for name, x in samples.items() for end, content in ((".npy", npy_bytes(x)), (".cls", b"1"))}
    return write_tar(folder / "x.tar", members)


def write_tars_of_images(folder: Path) -> str:
    random = np.random.default_rng(1)
    for part in range(2):
        images = {f"{k}.{end}": random.integers(0, 256, (6, 5, 3), dtype=np.uint8) for k in range(12) for end in ("png", "seg.png")}
        write_tar(folder / f"images-{part}.tar", {name: image_bytes(values) for name, values in images.items()})
    return f"{folder}/images-*.tar:png"


ARRAYS: dict[str, Callable[[Path], str]] = {
    "h5": write_h5,
    "npy": write_npy,
    "npy-fortran": write_fortran,
    "npy-big-endian": write_big_endian,
    "npz": write_npz,
    "pt": write_pt,
    "pt-old": write_old_pt,
    "safetensors": write_safetensors,
    "csv": write_csv,
    "tsv": write_tsv,
    "tar-of-arrays": write_tar_of_arrays,
}
"""Writers of :data:`ROWS`, each returning the address of what it wrote."""

PARTS: dict[str, Callable[[Path], str]] = {"npy-parts": write_npy_parts, "safetensors-shards": write_shards}
"""Writers of the same in several files."""


def write_images(folder: Path) -> str:
    random = np.random.default_rng(1)
    for number in range(24):
        place = folder / "images" / f"class{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        suffix = ("png", "PNG", "bmp")[number % 3]
        Image.fromarray(random.integers(0, 256, (6, 5, 3), dtype=np.uint8)).save(place / f"{number}.{suffix}")
    (folder / "images" / "notes.txt").write_text("no image")
    (folder / "images" / "._1.png").write_bytes(b"hidden")
    return f"{folder}/images"


def write_bytes(folder: Path) -> str:
    np.save(folder / "bytes.npy", np.random.default_rng(2).integers(0, 256, (40, 4, 4), dtype=np.uint8))
    return f"{folder}/bytes.npy"


FINITE: dict[str, Callable[[Path], str]] = {
    **ARRAYS,
    **PARTS,
    "uint8": write_bytes,
    "images": write_images,
    "tars-of-images": write_tars_of_images,
    "images-resized": lambda folder: f"{write_images(folder)}?size=3x4&mode=L",
    "rows": lambda folder: f"{write_npy(folder)}?rows=7:50",
    "limit": lambda folder: f"{write_h5(folder)}?limit=31",
    "rows-limit": lambda folder: f"{write_safetensors(folder)}?rows=5:55&limit=23",
    "channels": lambda folder: f"{write_images(folder)}?channels=first&limit=21",
    "fake-data": lambda folder: "torchvision:FakeData?size=30&image_size=(3,5,4)&num_classes=2&classes=1",
    "image-folder": lambda folder: f"torchvision:ImageFolder?root={write_images(folder)}&classes=class1",
}
"""Writers of finite sources of every kind."""


def write_dense(folder: Path) -> str:
    namespace: dict = {}
    exec(FACTORY, namespace)
    torch.manual_seed(0)
    (folder / "nets.py").write_text(FACTORY)
    save_file(namespace["Dense"]().state_dict(), folder / "dense.safetensors")
    return f"{folder}/dense.safetensors?factory={folder}/nets.py:Dense"


def write_convolutional(folder: Path) -> str:
    namespace: dict = {}
    exec(FACTORY, namespace)
    torch.manual_seed(0)
    (folder / "nets.py").write_text(FACTORY)
    torch.save({"G": namespace["Convolutional"]().state_dict(), "epoch": 3}, folder / "conv.pt")
    return f"{folder}/conv.pt?factory={folder}/nets.py:Convolutional&latent=uniform:5&stored=-1:1&range=unit&channels=last"


def write_torchscript(folder: Path) -> str:
    torch.manual_seed(0)
    torch.jit.script(torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Dropout())).save(str(folder / "net.ts"))
    return f"{folder}/net.ts"


def write_exported(folder: Path) -> str:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh()).eval()
    torch.export.save(torch.export.export(network, (torch.zeros(7, 4),)), folder / "net.pt2")
    return f"{folder}/net.pt2"


def write_onnx(folder: Path) -> str:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    weight = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["z", "W"], ["x"])],
        "net",
        [onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["n", 4])],
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 6])],
        [onnx.numpy_helper.from_array(weight, "W")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "net.onnx")
    return f"{folder}/net.onnx"


GENERATORS: dict[str, Callable[[Path], str]] = {
    "safetensors": write_dense,
    "pt": write_convolutional,
    "torchscript": write_torchscript,
    "exported": write_exported,
    "onnx": write_onnx,
}
"""Writers of generators of every format."""

SYNTHETIC = (
    "synthetic:gaussian?dim=3&shift=2&scale=0.5",
    "synthetic:uniform?dim=2&low=-1&high=3",
    "synthetic:dirac?dim=4&at=2",
    "synthetic:sphere?dim=5",
    "synthetic:sphere?dim=5&side=b",
    "synthetic:absolute-value?side=a",
    "synthetic:absolute-value?side=b",
    "synthetic:cones?n=3&side=a",
    "synthetic:cones?n=4&side=b",
    "synthetic:curves?dim=4&side=b",
    "synthetic:network?dim=4&side=b&pieces=4&seed=2",
    "synthetic:funnels?dim=3&funnels=8&side=a",
    "synthetic:funnels?dim=3&funnels=8&side=b&seed=5",
)
ENDLESS: dict[str, Callable[[Path], str]] = {
    **{address: (lambda folder, address=address: address) for address in SYNTHETIC},
    **GENERATORS,
}
"""Writers of endless sources of every kind."""


@pytest.fixture
def opened(tmp_path):
    """Writes a source into a folder of its own and opens it, trusting it."""

    def write_and_open(write, seed=0):
        return open_source(write(tmp_path), Access(trust=True), seed=seed)

    return write_and_open


@pytest.fixture(scope="session")
def data(repository):
    """The folder of downloaded data sets, where there is one."""
    for folder in (os.environ.get("WDIST_TEST_DATA"), repository.parent / "shared" / "data"):
        if folder and Path(folder).is_dir():
            return Path(folder)
    pytest.skip("no downloaded data: name their folder in WDIST_TEST_DATA")


def refused(address, words, access=None):
    """A source is refused for a reason that these words match, in one sentence that holds a way out."""
    with pytest.raises(SourceError, match=words) as caught:
        open_source(address, access or Access())
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert ";" in sentence, "no way out"
    return caught.value
