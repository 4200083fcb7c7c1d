"""Imports torchvision even if its compiled operators do not match torch.

A torchvision built for another variant of torch (CUDA against CPU, say) cannot load its compiled library. Its import then fails
when it registers shape rules for operators that nobody defined: ``operator torchvision::nms does not exist``. The datasets and
networks used here need none of them. So, after an import has failed with exactly that error, the named operator is declared without
an implementation and the import is repeated. Calling the operator still fails, as it would have.
"""

import importlib
import re
import sys
from types import ModuleType

import torch

from wdist.errors import SourceError

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_MISSING = re.compile(r"operator torchvision::(\w+) does not exist")
_declared: list[torch.library.Library] = []
"""A declaration lasts as long as its object."""


def import_torchvision(module: str = "torchvision.datasets") -> ModuleType:
    """Imports a module of torchvision."""
    way_out = f"install the version that matches torch {torch.__version__}"
    for _ in range(len(_SCHEMAS) + 1):
        try:
            return importlib.import_module(module)
        except ImportError as error:
            raise SourceError(f"torchvision cannot be imported ({error}); install it: pip install torchvision") from error
        except RuntimeError as error:
            found = _MISSING.search(str(error))
            if found is None or found[1] not in _SCHEMAS:
                raise SourceError(f"torchvision cannot be imported ({error}); {way_out}") from error
            _declare(found[1])
    raise SourceError(f"torchvision cannot be imported; {way_out}")


def _declare(operator: str) -> None:
    # A repeated import would accept half-imported modules as complete.
    for name in [name for name in sys.modules if name == "torchvision" or name.startswith("torchvision.")]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define(_SCHEMAS[operator])
    _declared.append(library)
