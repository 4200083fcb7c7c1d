"""Damaged copies of files: cut short, with flipped bits, absurd numbers, and missing or inserted bytes; and a full disk."""

import random
import resource
from contextlib import contextmanager


def damaged(content, seed):
    """A copy with one kind of damage, most often near the beginning, where headers are."""
    chance = random.Random(seed)
    raw = bytearray(content)
    head = min(len(raw), chance.choice([64, 512, 2048, len(raw)]))
    at = chance.randrange(head)
    kind = chance.choice(["cut", "bits", "bytes", "number", "insert", "delete", "digits"])
    if kind == "cut":
        return bytes(raw[: chance.randrange(len(raw))])
    if kind == "bits":
        for _ in range(chance.choice([1, 2, 8, 64])):
            raw[chance.randrange(head)] ^= 1 << chance.randrange(8)
    elif kind == "bytes":
        for _ in range(chance.choice([1, 2, 8])):
            raw[chance.randrange(head)] = chance.choice(b'\x00\x01\x7f\x80\xff}"9')
    elif kind == "number":
        size = chance.choice([1, 2, 4, 8])
        raw[at : at + size] = chance.choice([b"\xff" * size, b"\x00" * size, (2 ** (8 * size - 1) - 1).to_bytes(size, "little")])
    elif kind == "insert":
        raw[at:at] = chance.choice([b"9", b"9" * 20, b"9" * 5000, b"-", b"(", b"[" * 3000, b'"', chance.randbytes(20)])
    elif kind == "delete":
        del raw[at : at + chance.choice([1, 2, 8, 100])]
    else:
        for digit in [place for place in range(head) if raw[place] in b"0123456789"][:: chance.choice([1, 7, 50])]:
            raw[digit] = chance.choice(b"0123456789")
    return bytes(raw)


@contextmanager
def full_disk(free_bytes):
    """Lets no file of this process grow beyond a size, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
