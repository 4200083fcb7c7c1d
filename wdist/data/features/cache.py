"""Features kept on disk, so that a network sees each sample once instead of once per run.

A file holds the features of one set in the format of ``.npy``, followed by their SHA-256. Its name is the digest of everything they
depend on: the samples, the weights and the options of the network, and the versions of the libraries that computed them.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy_format
from torch import Tensor

from wdist.environment import package_version
from wdist.errors import OutputError
from wdist.files import check_folder, written_whole

_BYTES_AT_ONCE = 1 << 25


class FeatureCache:
    """A folder of features; several processes may use it at once.

    Arguments:
        folder: created if it does not exist.

    Raises:
        OutputError: the folder cannot be created or written to.
    """

    def __init__(self, folder: Path) -> None:
        check_folder(folder, option="--feature-cache")
        self._folder = folder

    def file(self, facts: Mapping[str, Any]) -> Path:
        """The file, which may not exist yet, for features that depend on these facts."""
        versions = {name: importlib.metadata.version(name) for name in ("torch", "torchvision")} | {"wdist": package_version()}
        text = json.dumps({**facts, **versions}, sort_keys=True)
        return self._folder / f"features-{hashlib.sha256(text.encode()).hexdigest()}.npy"

    def holds(self, file: Path, shape: tuple[int, int]) -> bool:
        """Whether a file holds features of this shape, undamaged."""
        try:
            with file.open("rb") as stored:
                content, digest = file.stat().st_size - hashlib.sha256().digest_size, hashlib.sha256()
                while stored.tell() < content:
                    digest.update(stored.read(min(_BYTES_AT_ONCE, content - stored.tell())))
                whole = stored.read() == digest.digest()
            return whole and np.load(file, mmap_mode="r", allow_pickle=False).shape == shape
        except (OSError, ValueError):
            return False

    def keep(self, file: Path, shape: tuple[int, int], parts: Iterable[Tensor]) -> str | None:
        """Writes features, float32, part by part, all or none; returns a sentence with the reason if they were not kept.

        Features that another run has kept in the meantime stay, because that run may be reading them.
        """
        digest = hashlib.sha256()
        try:
            with written_whole(file, unless=lambda: self.holds(file, shape)) as written:
                npy_format.write_array_header_1_0(written, {"shape": shape, "fortran_order": False, "descr": "<f4"})
                written.flush()
                with open(written.name, "rb") as header:
                    digest.update(header.read())
                for part in parts:
                    content = part.to(torch.float32).contiguous().numpy().astype("<f4", copy=False).data
                    digest.update(content)
                    written.write(content)
                written.write(digest.digest())
        except OutputError as error:
            return f"the features were not kept: {error}"
        return None
