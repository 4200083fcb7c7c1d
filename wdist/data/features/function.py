"""Features by a function of the user's: ``module:function``, ``file.py:function``, or a callable that is handed over in Python."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wdist.data.features.space import Ends, Features, FeatureSpace, digest_of_file
from wdist.data.sources.network_file import imported
from wdist.data.sources.source import SourceInfo
from wdist.errors import SourceError


class FunctionSpace(FeatureSpace):
    """What a function returns for samples in the units of their source.

    Arguments:
        function: takes float32 of shape (n, \\*event_shape) and returns (n, d), or (n, ...), which is flattened; a module is put
            into evaluation mode.
        name: for results.
        device: of the tensors that it is given; a module is moved there.
    """

    def __init__(self, function: Callable[[Tensor], Any], *, name: str, device: torch.device) -> None:
        digest = _digest(function)
        super().__init__(Features(spec=name, what=f"the function {name}", dim=0, digest=digest), device)
        self._function = function.eval().to(device) if isinstance(function, nn.Module) else function

    def preparation(self, info: SourceInfo, ends: Ends | None) -> Callable[[Tensor], Tensor]:
        return lambda x: x

    def run(self, x: Tensor) -> Any:
        return self._function(x)


def imported_space(text: str, device: torch.device) -> FunctionSpace:
    """The space of ``module:function``; the module is imported, so it is code that runs.

    Raises:
        SourceError: there is no such module or function.
    """
    found = imported(text, said=f"--features {text}", form="module:function", example="features.py:embed")
    if isinstance(found, type):
        raise SourceError(f"--features {text} is a class; name a function, or an object that was made of it")
    return FunctionSpace(found, name=text, device=device)


def _digest(function: Any) -> str | None:
    """Of the file that a function or the class of an object was written in, where there is one."""
    try:
        file = inspect.getsourcefile(function if inspect.isroutine(function) else type(function))
    except TypeError:
        return None
    return digest_of_file(Path(file)) if file is not None and Path(file).is_file() else None
