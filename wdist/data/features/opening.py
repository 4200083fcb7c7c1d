"""From what ``--features`` names to a feature space: dispatch only."""

from dataclasses import replace
from typing import Any

import torch

from wdist.data.access import Access
from wdist.data.features.function import FunctionSpace, imported_space
from wdist.data.features.space import FeatureSpace
from wdist.data.sources.address import parse_address
from wdist.errors import SourceError, TrustRequired


def open_features(features: Any, access: Access = Access(), device: torch.device | str = "cpu") -> FeatureSpace | None:
    """Opens the space that both sides are mapped to.

    Arguments:
        features: ``module:function`` or ``file.py:function``, ``resnet18?weights=FILE&layer=avgpool``, a callable, a space that is
            open already, or None.
        access: what opening may do.
        device: on which the function runs.

    Returns:
        The space; None where no features are asked for.

    Raises:
        TrustRequired: it would run code and the user has not allowed that.
        SourceError: there is no such function, network, layer or file of weights.
    """
    if features is None or isinstance(features, FeatureSpace):
        return features
    device = torch.device(device)
    if not isinstance(features, str):
        if not callable(features) or isinstance(features, type):
            raise SourceError(
                f"features are a function of a batch of samples or the name of one, not of type {type(features).__name__}"
            )
        name = getattr(features, "__qualname__", type(features).__name__)
        return FunctionSpace(features, name=f"<{name.strip('<>')}>", device=device)
    if not features.strip():
        raise SourceError("--features names nothing; write module:function, or resnet18?weights=FILE&layer=avgpool")
    # A network's name is a word of torchvision's, and what follows it are options in the manner of addresses.
    if ":" in features.partition("?")[0]:
        if not access.trust:
            raise TrustRequired(f"--features {features} is code that would be imported and run; if you trust it, say --trust")
        return imported_space(features, device)
    from wdist.data.features.backbone import open_backbone

    address = parse_address(f"torchvision:{features}")
    return open_backbone(replace(address, text=features), access, device)
