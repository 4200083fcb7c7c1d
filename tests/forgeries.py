"""Forged proofs: copies with one change, and what a verification denies of them."""

import json

from safetensors import safe_open
from safetensors.torch import save_file


def forged(evidence, tmp_path, *, tensors=None, statement=None):
    """A copy of the proof, changed by a function of its tensors and by one of its statement."""
    with safe_open(evidence[0] / "proof.safetensors", framework="pt") as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata())
    if tensors:
        tensors(stored)
    if statement:
        statements = json.loads(metadata["statements"])
        statement(statements[""])
        metadata["statements"] = json.dumps(statements)
    path = tmp_path / "proof.safetensors"
    save_file(stored, path, metadata)
    return path


def wrong(verification):
    """Statements that the verification found not to follow."""
    return {finding.what for finding in verification.findings if not finding.ok}


def changed_at(statement, path, value):
    """Replaces one value of a nested statement; a number is multiplied where ``value`` is a function."""
    *outer, last = path.split(".")
    for key in outer:
        statement = statement[int(key) if key.isdigit() else key]
    statement[last] = value(statement[last]) if callable(value) else value
