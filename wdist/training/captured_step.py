"""The same step as one launch: on a GPU, kernels of small networks take less time than their launches, which a graph does at once.

Two graphs are captured, the step and the return to the constraint, since the cadence of returns follows what they meet. Samples and
learning rates reach a graph by being written into tensors that it reads.

A critic whose step cannot be captured (it looks at numbers on the host, say) is stepped launch by launch.

Not yet timed, nor run on a GPU: what surrounds the capture is tested on a CPU, where a recording is just the work itself.

References:
    The PyTorch manual, CUDA semantics, section CUDA graphs: whole-network capture, and why a few steps come before it.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from wdist.critics.critic import Critic
from wdist.lipschitz.linalg.rounding import tf32_products
from wdist.training.optimizers import Optimizing
from wdist.training.penalties.penalty import Penalty
from wdist.training.step import TrainingStep

_WARM_UP = 3
"""Steps that are made one kernel after the other, so that libraries and optimisers have allocated what they keep."""

Work = Callable[[], Tensor | None]
"""What is captured; it gives a tensor that every replay writes anew, or nothing."""


def cuda_graph(work: Work) -> Work:
    """Captures ``work``, which must not wait for the device, without doing it; what comes back does it, by one launch."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        written = work()

    def replay() -> Tensor | None:
        graph.replay()
        return written

    return replay


def training_step(critic: Critic, optimizers: Sequence[Optimizing], *, penalty: Penalty | None = None) -> TrainingStep:
    """The step that suits the device of a critic: by graphs on a GPU, unless points of a penalty are drawn anew for each."""
    if penalty is None and next(critic.parameters()).device.type == "cuda":
        return CapturedStep(critic, optimizers)
    return TrainingStep(critic, optimizers, penalty=penalty)


class CapturedStep(TrainingStep):
    """A :class:`~wdist.training.step.TrainingStep` by graphs, for minibatches that are all of the shapes of the first one.

    Products are those of TF32 where the GPU has it; what is evaluated is brought back to the constraint in float32 first.

    Arguments:
        critic: in training, on a GPU.
        optimizers: of all its parameters; they take learning rates that are tensors.
        record: makes a replay of some work.
    """

    def __init__(self, critic: Critic, optimizers: Sequence[Optimizing], *, record: Callable[[Work], Work] = cuda_graph) -> None:
        super().__init__(critic, optimizers)
        self._record = record
        device = next(critic.parameters()).device
        for group, rate in self._rates:
            group["lr"] = torch.full((), rate, device=device)
        self._sides: tuple[Tensor, Tensor] | None = None
        self._taken = 0
        self._returned = False
        self._moving: Work | None = None
        self._returning: Work | None = None

    def __call__(self, a: Tensor, b: Tensor, *, factor: float) -> Tensor:
        with tf32_products():
            return super().__call__(a, b, factor=factor)

    def _set_rates(self, factor: float) -> None:
        for group, rate in self._rates:
            group["lr"].fill_(rate * factor)

    def _move(self, a: Tensor, b: Tensor) -> Tensor:
        if self._sides is None:
            self._sides = torch.empty_like(a), torch.empty_like(b)
        held_a, held_b = self._sides
        if (a.shape, b.shape) != (held_a.shape, held_b.shape):
            return super()._move(a, b)
        held_a.copy_(a, non_blocking=True)
        held_b.copy_(b, non_blocking=True)
        self._taken += 1
        if self._taken <= _WARM_UP:
            return self._beside(lambda: super(CapturedStep, self)._move(held_a, held_b))
        if self._moving is None:
            self._moving = self._recorded(lambda: super(CapturedStep, self)._move(held_a, held_b))
        dual = self._moving()
        assert dual is not None, "a step gives its dual value"
        return dual.clone()  # the next replay writes over it

    def _return(self) -> Tensor | None:
        if self._taken <= _WARM_UP or not self._returned:
            self._returned = True  # what a return keeps for later ones was copied to the device
            return super()._return()
        if self._returning is None:
            self._returning = self._recorded(super()._return)
        return self._returning()

    def _recorded(self, work: Work) -> Work:
        """A recording; or the work itself where it cannot be recorded, which has then not been done yet."""
        try:
            return self._record(work)
        except RuntimeError:
            return work

    def _beside(self, work: Callable[[], Tensor]) -> Tensor:
        """Work on a stream of its own, as a capture will be."""
        if next(self._critic.parameters()).device.type != "cuda":
            return work()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            done = work()
        torch.cuda.current_stream().wait_stream(stream)
        return done
