"""Opens feature spaces: the user's function (``module:function``, ``file.py:function``, a callable) or a torchvision network."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wdist.data.access import Access
from wdist.data.features.space import Ends, Features, FeatureSpace, digest_of_file
from wdist.data.sources.address import parse_address
from wdist.data.sources.network_file import imported
from wdist.data.sources.source import SourceInfo
from wdist.errors import SourceError, TrustRequired


def open_features(features: Any, access: Access = Access(), device: torch.device | str = "cpu") -> FeatureSpace | None:
    """Opens the feature space that both sides are mapped to.

    Arguments:
        features: ``module:function`` or ``file.py:function``, ``resnet18?weights=FILE&layer=avgpool``, a callable, an open feature
            space, or None.
        access: permissions.
        device: runs the function.

    Returns:
        The space; None if ``features`` is None.

    Raises:
        TrustRequired: it would run code and the user has not allowed that.
        SourceError: there is no such function, network, layer or file of weights.
    """
    if features is None or isinstance(features, FeatureSpace):
        return features
    device = torch.device(device)
    if not isinstance(features, str):
        if not callable(features) or isinstance(features, type):
            kind = type(features).__name__
            raise SourceError(f"features must be a function of a batch of samples or its name, not of type {kind}; pass a function")
        name = getattr(features, "__qualname__", type(features).__name__)
        return FunctionSpace(features, name=f"<{name.strip('<>')}>", device=device)
    if not features.strip():
        raise SourceError("--features names nothing; write module:function, or resnet18?weights=FILE&layer=avgpool")
    # The name of a network contains no colon; its options follow as in an address.
    if ":" in features.partition("?")[0]:
        if not access.trust:
            raise TrustRequired(f"--features {features} is code that would be imported and run; if you trust it, add --trust")
        found = imported(features, said=f"--features {features}", form="module:function", example="features.py:embed")
        if isinstance(found, type):
            raise SourceError(f"--features {features} is a class; name a function, or an instance of the class")
        return FunctionSpace(found, name=features, device=device)
    from wdist.data.features.backbone import open_backbone

    address = parse_address(f"torchvision:{features}")
    return open_backbone(replace(address, text=features), access, device)


class FunctionSpace(FeatureSpace):
    """Outputs of a function for samples in the units of their source.

    It maps float32 of shape (n, \\*event_shape) to (n, d), or to (n, ...), which is flattened. A module is moved to the device and
    put into evaluation mode.
    """

    def __init__(self, function: Callable[[Tensor], Any], *, name: str, device: torch.device) -> None:
        super().__init__(Features(spec=name, what=f"the function {name}", dim=0, digest=_digest(function)), device)
        self._function = function.eval().to(device) if isinstance(function, nn.Module) else function

    def preparation(self, info: SourceInfo, ends: Ends | None) -> Callable[[Tensor], Tensor]:
        return lambda x: x

    def run(self, x: Tensor) -> Any:
        return self._function(x)


def _digest(function: Any) -> str | None:
    """Digest of the file that defines a function or an object's class; None without such a file."""
    try:
        file = inspect.getsourcefile(function if inspect.isroutine(function) else type(function))
    except TypeError:
        return None
    return digest_of_file(Path(file)) if file is not None and Path(file).is_file() else None
