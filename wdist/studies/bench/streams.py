"""Data larger than memory: peak memory, reading speed, and the time that training waits, for each file format.

Each measurement runs in its own process with a limited address space, so that a set of gigabytes must be streamed. The process
reads the files, which the system has not cached, once byte by byte and once for their digest, range and whatever else the format
needs. Then it makes an estimate under a budget, and takes training steps on minibatches of the same streams. The files are in a
temporary folder.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from safetensors.numpy import save_file

from wdist.critics.settings import CriticSettings
from wdist.data.access import Access
from wdist.data.comparable import comparable
from wdist.data.memory import size_text
from wdist.data.pairing import open_pair
from wdist.data.sources.columnar import library
from wdist.data.sources.opening import open_source
from wdist.data.tables.joint import jointly_encoded
from wdist.errors import SourceError
from wdist.ground_metric import L2
from wdist.studies.machine import ONE_THREAD, peak_bytes
from wdist.studies.progress import estimated
from wdist.studies.study import ClaimCheck, Column, Conclusion, Conditions, Skipped, Study, StudyTable, percent
from wdist.training.catalogue import network
from wdist.training.kind import DataShape, TrainingJob
from wdist.training.optimizers import make_optimizers
from wdist.training.step import TrainingStep

GB = 10**9
MOST_MEMORY, MOST_WAITING, MOST_OVER = 1.5 * GB, 0.1, 10.0
"""Limits that the claims state: peak memory of a process, share of training time spent waiting, and seconds beyond a budget."""
MACHINE = 4 << 30
"""Bytes of address space that a process may use."""
_BLOCK_BYTES = 1 << 26
"""Bytes of the samples that are written at a time."""
_PARTS_BLOCKS = 8
_KIND = "groupsort-bjorck"
_WARM_UP = 5
"""Steps before the timed ones."""
_SPARE = 1.2
"""Required free space on the disk, as a multiple of the samples' size."""
REMARKS = (
    "Peak memory: resident pages of the process, mapped files included, over the digest and the estimate.",
    "Disk: reading byte by byte. Digest: reading for digest, range, levels and missing values. Neither reads cached files.",
    "Waiting: share of training time, on the default network with minibatches of the default size, spent waiting for samples.",
    "Over budget: seconds of a whole estimate, which recalls the digest, minus those of its budget.",
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Two sets of samples in files of one format."""

    format: str
    """A key of :data:`FORMATS`."""
    nbytes: int
    """Bytes of the samples of both sides, as float32."""
    dim: int = 64
    seconds: float = 60.0
    """Budget of the estimate."""
    training: float = 20.0
    """Seconds of timed training steps."""

    @property
    def name(self) -> str:
        return f"{self.format}, {size_text(self.nbytes)}, {self.dim:,} coordinates"

    @property
    def rows(self) -> int:
        """Samples of each side."""
        return self.nbytes // (2 * 4 * self.dim)


CASES = (
    Case(format="npy", nbytes=10 * GB),
    Case(format="parquet", nbytes=10 * GB),
    Case(format="hdf5", nbytes=3 * GB),
    Case(format="safetensors", nbytes=3 * GB),
    Case(format="tar", nbytes=3 * GB, dim=12_288),
)
QUICK_CASES = (
    Case(format="npy", nbytes=5 * GB // 2, seconds=8.0, training=3.0),
    Case(format="tar", nbytes=5 * GB // 2, dim=12_288, seconds=8.0, training=3.0),
)


@dataclass(frozen=True, kw_only=True)
class StreamRow:
    """Memory, reading speed, time of an estimate and waiting time of training for the files of one case."""

    name: str
    nbytes: int
    """Bytes of the samples of both sides, as float32."""
    streamed: bool
    """Whether both sides were streamed."""
    peak: int
    """Largest resident size of the process in bytes."""
    disk: float
    """Bytes of the files per second, read byte by byte."""
    digest: float
    """Bytes of the files per second, read for the digest."""
    digest_processor: float
    """Seconds of processor time for the digest."""
    budget: float
    """Budget of the estimate in seconds."""
    seconds: float
    """Seconds that the estimate took."""
    steps: int
    """Number of timed training steps."""
    waiting: float
    """Share of their time spent waiting for samples."""

    @property
    def over(self) -> float:
        return self.seconds - self.budget


def blocks(case: Case, side: int) -> Iterator[np.ndarray]:
    """Blocks of the samples of a side, float32, shape (rows, dim), normal with mean 0 or 0.1 in each coordinate.

    All blocks are one block with its rows and coordinates rolled: drawing each would take longer than writing it.
    """
    random = np.random.default_rng(side)
    size = max(1, min(case.rows, _BLOCK_BYTES // (4 * case.dim)))
    drawn = random.standard_normal((size, case.dim), dtype=np.float32) + np.float32(0.1 * side)
    for start in range(0, case.rows, size):
        moved = np.roll(drawn, (int(random.integers(size)), int(random.integers(case.dim))), axis=(0, 1))
        yield moved[: case.rows - start]


def _parts(case: Case, side: int) -> Iterator[np.ndarray]:
    """The samples of a side, with several blocks joined at a time."""
    single = blocks(case, side)
    while joined := list(islice(single, _PARTS_BLOCKS)):
        yield np.concatenate(joined)


def _write_npy(case: Case, side: int, folder: Path) -> str:
    path = folder / "x.npy"
    with path.open("wb") as file:
        shape = (case.rows, case.dim)
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for block in blocks(case, side):
            block.tofile(file)
    return str(path)


def _write_hdf5(case: Case, side: int, folder: Path) -> str:
    path, start = folder / "x.h5", 0
    with h5py.File(path, "w") as file:
        values = file.create_dataset("x", (case.rows, case.dim), "f4", chunks=(min(4096, case.rows), case.dim))
        for block in blocks(case, side):
            values[start : start + len(block)] = block
            start += len(block)
    return str(path)


def _write_parquet(case: Case, side: int, folder: Path) -> str:
    arrow, parquet = library("pyarrow"), library("pyarrow.parquet")
    for number, part in enumerate(_parts(case, side)):
        columns = {f"x{k:03}": np.ascontiguousarray(part[:, k]) for k in range(case.dim)}
        parquet.write_table(
            arrow.table(columns), folder / f"part-{number:05}.parquet", row_group_size=1 << 17, use_dictionary=False
        )
    return str(folder)


def _write_safetensors(case: Case, side: int, folder: Path) -> str:
    for number, part in enumerate(_parts(case, side)):
        save_file({"x": part}, folder / f"part-{number:05}.safetensors")
    return str(folder)


def _write_tar(case: Case, side: int, folder: Path) -> str:
    path = folder / "x.tar"
    with tarfile.open(path, "w") as archive:
        for number, row in enumerate(row for block in blocks(case, side) for row in block):
            content = io.BytesIO()
            np.save(content, row)
            member = tarfile.TarInfo(f"{number:09}.npy")
            member.size = content.tell()
            content.seek(0)
            archive.addfile(member, content)
    return str(path)


FORMATS: dict[str, Callable[[Case, int, Path], str]] = {
    "npy": _write_npy,
    "parquet": _write_parquet,
    "hdf5": _write_hdf5,
    "safetensors": _write_safetensors,
    "tar": _write_tar,
}
"""Format -> function that writes the samples of one side to a folder and returns their address."""


def written(case: Case, folder: Path) -> list[str]:
    """Writes the files of both sides to the disk, and returns their addresses."""
    addresses = []
    for side, name in enumerate("ab"):
        own = folder / name
        own.mkdir()
        addresses.append(FORMATS[case.format](case, side, own))
    for path in _files(folder):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    return addresses


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _uncache(paths: Sequence[Path]) -> None:
    """Drops files from the system's cache, if the system allows it."""
    for path in paths if hasattr(os, "posix_fadvise") else ():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _read_bytes(paths: Sequence[Path]) -> None:
    buffer = bytearray(1 << 23)
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def measured(case: Case, addresses: Sequence[str], folder: Path) -> StreamRow:
    """Reads, estimates and trains in this process; the folder holds the files of both addresses, and nothing else."""
    files = _files(folder)
    size = sum(path.stat().st_size for path in files)
    _uncache(files)
    began = time.perf_counter()
    _read_bytes(files)
    disk = size / (time.perf_counter() - began)
    _uncache(files)
    began, processor = time.perf_counter(), time.process_time()
    opened = [open_source(address, Access(), seed=0) for address in addresses]
    comparable(jointly_encoded(opened, Access(), seed=0, metric=L2).sources, Access(), seed=0, mapped=False)
    del opened
    digest, processor = size / (time.perf_counter() - began), time.process_time() - processor
    began = time.perf_counter()
    estimated(*addresses, budget=f"{case.seconds}s", baselines="none")
    seconds, peak = time.perf_counter() - began, peak_bytes()
    streamed, steps, waiting = _training(case, addresses)
    return StreamRow(
        name=case.name,
        nbytes=case.nbytes,
        streamed=streamed,
        peak=peak,
        disk=disk,
        digest=digest,
        digest_processor=processor,
        budget=case.seconds,
        seconds=seconds,
        steps=steps,
        waiting=waiting,
    )


def _training(case: Case, addresses: Sequence[str]) -> tuple[bool, int, float]:
    """Whether both sides are streamed, the number of timed steps, and the share of their time spent waiting for samples."""
    with closing(open_pair(*addresses, access=Access(), seed=0, device=torch.device("cpu"))) as pair:
        kind, job, shape = network(_KIND), TrainingJob(pair=pair, seed=0, device=torch.device("cpu")), DataShape.of(pair)
        spec = kind.resolve(CriticSettings(), shape)
        critic, own = kind.build(spec, shape, torch.Generator().manual_seed(0)), spec.settings
        step = TrainingStep(critic, make_optimizers(critic, name=own.optimizer, learning_rate=own.learning_rate))
        began, waited, steps = time.perf_counter(), 0.0, -_WARM_UP
        while steps <= 0 or time.perf_counter() - began < case.training:
            if not steps:
                began, waited = time.perf_counter(), 0.0
            asked = time.perf_counter()
            drawn = [side.train.next(own.batch_size) for side in (pair.a, pair.b)]
            waited += time.perf_counter() - asked
            step(*(job.standardised(each) for each in drawn), factor=0.1)
            steps += 1
        return pair.a.streamed and pair.b.streamed, steps, waited / (time.perf_counter() - began)


def _measure(conditions: Conditions) -> Iterator[StreamRow | Skipped]:
    for case in QUICK_CASES if conditions.quick else CASES:
        if conditions.wanted(case.name):
            yield from conditions.rows(case.name, partial(_row, case, conditions), what=case.name)


def _row(case: Case, conditions: Conditions) -> Iterator[StreamRow | Skipped]:
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if sys.platform != "linux":
        yield Skipped(name=case.name, reason="needs Linux, which limits the memory of a process")
    elif free < _SPARE * case.nbytes:
        needed, there = size_text(int(_SPARE * case.nbytes)), size_text(free)
        yield Skipped(name=case.name, reason=f"needs {needed} of disk for temporary files, and {there} are free; set TMPDIR")
    else:
        with tempfile.TemporaryDirectory(prefix="wdist-streams-") as folder:
            try:
                yield by_process(case, Path(folder))
            except SourceError as error:
                yield Skipped(name=case.name, reason=str(error))


def by_process(case: Case, folder: Path) -> StreamRow:
    """Measures the row of a case in a process with limited memory; SourceError if the process failed."""
    data, cache = folder / "data", folder / "cache"
    data.mkdir()
    request = json.dumps({"case": asdict(case), "addresses": written(case, data), "folder": str(data), "memory": MACHINE})
    done = subprocess.run(
        [sys.executable, "-m", "wdist.studies.bench.streams", request],
        env={**os.environ, **ONE_THREAD, "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise SourceError(f"the process ended: {last}")
    return StreamRow(**json.loads(done.stdout))


def main() -> None:
    """Measures the case given as the first argument, with limited memory, and prints its row as JSON."""
    import resource  # missing on Windows

    request: dict[str, Any] = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
    row = measured(Case(**request["case"]), request["addresses"], Path(request["folder"]))
    sys.stdout.write(json.dumps(asdict(row)))


def conclude(rows: Sequence[StreamRow]) -> Conclusion:
    """Checks whether memory, time and waiting stay within their limits."""
    largest, slowest = max(rows, key=lambda row: row.peak), max(rows, key=lambda row: row.over)
    waiting, nearest = max(rows, key=lambda row: row.waiting), min(rows, key=lambda row: row.digest / row.disk)
    checks = (
        ClaimCheck(
            claim=f"An estimate from samples larger than memory takes at most {size_text(int(MOST_MEMORY))} of memory.",
            holds=all(row.streamed for row in rows) and largest.peak <= MOST_MEMORY,
            detail=f"most {size_text(largest.peak)}, {largest.name}",
        ),
        ClaimCheck(
            claim=f"It ends within {MOST_OVER:.0f} seconds of its budget.",
            holds=slowest.over <= MOST_OVER,
            detail=f"latest {slowest.over:+.0f} s, {slowest.name}",
        ),
        ClaimCheck(
            claim=f"Training spends at most {percent(MOST_WAITING, 0)} of its time waiting for samples.",
            holds=waiting.waiting <= MOST_WAITING,
            detail=f"most {percent(waiting.waiting)}, {waiting.name}",
        ),
        ClaimCheck(
            claim="The digest takes at most twice as long as reading the files byte by byte.",
            holds=2 * nearest.digest >= nearest.disk,
            detail=f"slowest {percent(nearest.digest / nearest.disk, 0)} of the speed of the disk, {nearest.name}",
        ),
    )
    return Conclusion(checks=checks, remarks=REMARKS)


STUDY = Study(
    name="streams",
    title="Samples larger than memory: peak memory, reading speed, and how long training waits",
    measure=_measure,
    conclude=conclude,
    tables=(
        StudyTable(
            f"files under a limit of {MACHINE >> 30} GiB on the address space",
            StreamRow,
            Column("files", "name"),
            Column("peak, GB", lambda row: row.peak / GB),
            Column("disk, GB/s", lambda row: row.disk / GB),
            Column("digest, GB/s", lambda row: row.digest / GB),
            Column("over budget, s", "over"),
            Column("waiting", kind="share"),
        ),
    ),
    reduced=("2 of 5 formats, 2.5 GB instead of 3 or 10", "budget 8 s instead of 60"),
)

if __name__ == "__main__":
    main()
