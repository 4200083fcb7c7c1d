"""A frozen critic as a torch module: differentiable, movable and exportable. Certificates apply to the frozen critic only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from wdist.critics.frozen import FrozenCritic
    from wdist.lipschitz.frozen_layer import FrozenLayer


class PotentialModule(nn.Module):
    """x -> K * spread * network((x - shift) / spread), in float64 unless converted to another type.

    Its numbers are buffers: ``.to("cuda")`` and ``.float()`` move them, and no optimiser trains them. It rounds without an error
    bound, so only the frozen critic proves bounds.
    """

    shift: Tensor

    def __init__(self, critic: FrozenCritic, event_shape: Sequence[int]) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self._layers = critic.layers
        self._spread = critic.standardisation.spread
        self._factor = self._spread * critic.lipschitz
        for name, tensor in critic.tensors().items():
            self.register_buffer(_buffer(name), tensor.clone())

    def forward(self, x: Tensor) -> Tensor:
        """Potentials, shape (n,), at samples of shape (n, \\*event shape) in the units of the data, in the type of the module."""
        h = (x.reshape(x.shape[0], -1).to(self.shift) - self.shift) / self._spread
        for position, layer in enumerate(self._layers):
            h = self._held(position, layer).forward(h)
        return h.squeeze(-1) * self._factor

    def _held(self, position: int, layer: FrozenLayer) -> FrozenLayer:
        """The layer with the module's buffers as its tensors, on their current device and in their current type."""
        names = layer.tensors()
        return layer.with_tensors({name: getattr(self, _buffer(f"layers.{position}.{name}")) for name in names})


def _buffer(name: str) -> str:
    return name.replace(".", "_")
