"""State of objects at work: everything that a new object needs to continue where another one stopped.

A class lists its changing attributes in ``resumable``. The state of a torch module is its ``state_dict``, that of a random number
generator its own state, and that of a function the state of the objects that it closes over.
"""

from inspect import getclosurevars
from types import FunctionType
from typing import Any

import torch
from torch import nn


def state_of(item: Any) -> Any:
    """The state of an object, as a value for :func:`~wdist.checkpoints.values.packed`; tensors are not copied."""
    if isinstance(item, nn.Module):
        return dict(item.state_dict())
    if isinstance(item, torch.Generator):
        return item.get_state()
    if isinstance(item, FunctionType):
        return {name: state_of(each) for name, each in getclosurevars(item).nonlocals.items() if _changes(each)}
    if hasattr(item, "resumable"):
        return {name: state_of(getattr(item, name)) for name in item.resumable}
    if isinstance(item, dict):
        named = all(isinstance(key, str) for key in item)
        return {key: state_of(each) for key, each in item.items()} if named else [state_of(each) for each in item.values()]
    if isinstance(item, list | tuple):
        return type(item)(map(state_of, item))
    return item


def restored(item: Any, state: Any) -> Any:
    """Gives an object a saved state; returns the same object if it has an identity, otherwise a new one.

    Raises:
        KeyError, TypeError, ValueError, RuntimeError: the state belongs to another kind of object.
    """
    if isinstance(item, nn.Module):
        item.load_state_dict(state)
    elif isinstance(item, torch.Generator):
        item.set_state(state)
    elif isinstance(item, FunctionType):
        found = getclosurevars(item).nonlocals
        for name, each in state.items():
            restored(found[name], each)
    elif hasattr(item, "resumable"):
        for name in item.resumable:
            setattr(item, name, restored(getattr(item, name), state[name]))
    elif isinstance(item, dict):
        _restore_dict_(item, state)
    elif isinstance(item, list | tuple) and item and all(_changes(each) and not isinstance(each, dict) for each in item):
        return type(item)(restored(each, own) for each, own in zip(item, state, strict=True))
    else:
        return state
    return item


def _restore_dict_(item: dict[Any, Any], state: dict[str, Any] | list[Any]) -> None:
    """Restores a dict in place; keys that are not texts, such as parameters, are identified by their order."""
    values = state if isinstance(state, dict) else dict(zip(item, state, strict=True))
    for key in [key for key in item if key not in values]:
        del item[key]
    for key, each in values.items():
        item[key] = restored(item[key], each) if key in item else each


def _changes(item: Any) -> bool:
    """Whether an object has an identity and its own state."""
    return isinstance(item, nn.Module | torch.Generator | dict | FunctionType) or hasattr(item, "resumable")
