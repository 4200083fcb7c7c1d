"""The game of a generator against a critic: its state, and its step, which is some steps of the critic and one of the generator."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from wdist.data.sources.source import random_stream
from wdist.gan.critics import make_critic
from wdist.gan.generators import image_generator, initialise_
from wdist.gan.images import Images
from wdist.gan.settings import CRITICS, GanSettings
from wdist.lipschitz.linalg.rounding import products_on
from wdist.training.optimizers import Adam, Optimizer
from wdist.training.penalties import penalty

_LATENT_SIDE, _CALIBRATION_SIDE, _WEIGHTS_SIDE = 11, 12, 13
"""Random streams that nothing else in wdist draws from."""
_DECAY = 0.999
"""Decay of the average of the generator's weights."""
_BETAS = (0.5, 0.99)
"""Betas of the generator's Adam; the first as in DCGAN."""
_CALIBRATION_BATCHES = 20


class Game:
    """Generator and critic, their optimisers, and the running average of the generator's weights.

    Every step draws from its own random stream, so that this state is all that a resumed training needs.
    """

    def __init__(self, settings: GanSettings, images: Images, device: torch.device) -> None:
        self.settings, self._images, self._device = settings, images, device
        shape = "x".join(map(str, images.event_shape))
        generator = image_generator(shape, inputs=settings.latent, width=settings.width)
        initialise_(generator, random_stream(settings.seed, _WEIGHTS_SIDE, 0))
        self.generator = generator.to(device)
        self.average = copy.deepcopy(self.generator)
        self.critic = make_critic(settings, images.event_shape, device)
        rate = settings.learning_rate or CRITICS[settings.critic].learning_rate
        self._optimizer = Adam(self.generator.parameters(), lr=rate, betas=_BETAS)
        self._standardisation = images.standardisation.to(device)
        self.steps = 0

    def step(self) -> None:
        """Trains the critic for its steps, then the generator for one."""
        stream = random_stream(self.settings.seed, _LATENT_SIDE, self.steps)
        self.generator.train()
        with products_on(self._device):
            for _ in range(self.critic.steps):
                self._critic_step(stream)
            self._generator_step(stream)
        self.steps += 1

    def _critic_step(self, stream: torch.Generator) -> None:
        """Raises the mean potential of the images minus that of the generated ones."""
        critic, n = self.critic.network, self.settings.batch_size
        a = self._standardisation.apply(self._images.draw(n, stream).to(self._device))
        with torch.no_grad():
            b = self._made(self._latents(n, stream))
        for optimizer in self.critic.optimizers:
            optimizer.zero_grad()
        potentials = critic(torch.cat([a, b]))
        loss = potentials[n:].mean() - potentials[:n].mean()
        if self.critic.penalty is not None:
            loss = loss + penalty(self.critic.penalty, self._on_device(stream))(critic, a, b)
        loss.backward()
        for optimizer in self.critic.optimizers:
            optimizer.step()
        critic.constrain_()

    def _generator_step(self, stream: torch.Generator) -> None:
        """Raises the mean potential of the generated images."""
        for parameter in self.critic.network.parameters():
            parameter.requires_grad_(False)
        self._optimizer.zero_grad()
        (-self.critic.network(self._made(self._latents(self.settings.batch_size, stream))).mean()).backward()
        self._optimizer.step()
        for parameter in self.critic.network.parameters():
            parameter.requires_grad_(True)
        # At first the mean of all weights so far, later of about the last thousand.
        share = 1 - min(_DECAY, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.generator.parameters()), share)

    def averaged(self) -> nn.Module:
        """The generator with averaged weights and newly measured batch statistics, in evaluation mode on the CPU."""
        network = copy.deepcopy(self.average)
        layers = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # averages over all batches
        stream = random_stream(self.settings.seed, _CALIBRATION_SIDE, 0)
        network.train()
        with torch.no_grad():
            for _ in range(_CALIBRATION_BATCHES):
                network(self._latents(128, stream))
        return network.eval().cpu()

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, by name, on the CPU."""
        return {name: tensor.detach().cpu().contiguous() for name, tensor in self._named()}

    def load_(self, tensors: dict[str, Tensor], steps: int) -> None:
        """Restores :meth:`tensors` of a game with the same settings.

        Raises:
            KeyError, ValueError: the settings differ.
        """
        with torch.no_grad():
            for name, tensor in self._named():
                if tensors[name].shape != tensor.shape:
                    raise ValueError(f"{name} has another shape")
                tensor.copy_(tensors[name])
        self.steps = steps

    def _named(self) -> Iterator[tuple[str, Tensor]]:
        for part, module in (("generator", self.generator), ("average", self.average), ("critic", self.critic.network)):
            for name, tensor in module.state_dict().items():
                yield f"{part}.{name}", tensor
        for position, optimizer in enumerate([self._optimizer, *self.critic.optimizers]):
            for index, state in enumerate(_states(optimizer)):
                for name, tensor in state.items():
                    yield f"optimizer.{position}.{index}.{name}", tensor

    def _latents(self, n: int, stream: torch.Generator) -> Tensor:
        return torch.randn(n, self.settings.latent, generator=stream).to(self._device)

    def _made(self, latents: Tensor) -> Tensor:
        return self._standardisation.apply(self.generator(latents).flatten(1))

    def _on_device(self, stream: torch.Generator) -> torch.Generator:
        """A stream on the device that is seeded by this one; on the CPU, this one itself."""
        if self._device.type == "cpu":
            return stream
        return torch.Generator(self._device).manual_seed(int(torch.randint(1 << 62, (), generator=stream)))


def _states(optimizer: Optimizer) -> Iterator[dict[str, Tensor]]:
    """Yields the optimiser state of each parameter; Muon's momentum, which Muon creates in its first step, is zero before."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            yield state
