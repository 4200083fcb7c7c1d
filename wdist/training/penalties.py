r"""Penalties on slopes at sampled points; they bound the slope nowhere."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

_WEIGHT = 10.0
"""Weight of every penalty, as in the sources."""
_SHORTEST, _LONGEST = 0.01, 1.0
"""Range of the lengths of perturbations, which are drawn uniformly on a logarithmic scale."""
_ALPHA = 2.0
_STEP = 0.1
"""xi, the step of the finite difference."""


class Penalty(ABC):
    """A penalty that is subtracted from the dual value of a minibatch.

    Arguments:
        generator: of its random numbers, on the device of the samples.
    """

    resumable: tuple[str, ...] = ("_generator",)

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    @abstractmethod
    def __call__(self, critic: nn.Module, a: Tensor, b: Tensor) -> Tensor:
        """The penalty, a differentiable scalar, at standardised samples of A and B, shapes (n, dim) and (m, dim)."""


class GradientPenalty(Penalty):
    r"""Two-sided gradient penalty on points between the samples of A and B, :math:`\mathbb{E} (\|\nabla f\| - 1)^2`.

    It also penalises slopes below 1. An optimal critic has slope 1 along transport, but may have smaller slopes elsewhere.

    References:
        Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville (2017), Improved training of Wasserstein GANs, arXiv:1704.00028.
    """

    def __call__(self, critic: nn.Module, a: Tensor, b: Tensor) -> Tensor:
        return _WEIGHT * (_slopes(critic, _between(a, b, self._generator)) - 1).square().mean()


class OneSidedGradientPenalty(Penalty):
    r"""One-sided gradient penalty, :math:`\mathbb{E} \max(\|\nabla f\| - 1, 0)^2`: slopes below 1 cost nothing.

    References:
        Petzka, Fischer & Lukovnikov (2018), On the regularization of Wasserstein GANs, arXiv:1709.08894.
    """

    def __call__(self, critic: nn.Module, a: Tensor, b: Tensor) -> Tensor:
        return _WEIGHT * _excess(_slopes(critic, _between(a, b, self._generator)))


class LipschitzPenalty(Penalty):
    r"""Penalty on the slope between samples of A and B, :math:`\mathbb{E} \max(|f(x) - f(y)| / \|x - y\| - 1, 0)^2`.

    It needs no second derivatives, but distant pairs reveal little about the slope between them. It uses as many pairs as the
    smaller side has samples, in the order of the minibatch, which is random.

    References:
        Petzka, Fischer & Lukovnikov (2018), On the regularization of Wasserstein GANs, arXiv:1709.08894.
    """

    def __call__(self, critic: nn.Module, a: Tensor, b: Tensor) -> Tensor:
        count = min(len(a), len(b))
        of_a, of_b = critic(torch.cat([a[:count], b[:count]])).chunk(2)
        distance = torch.linalg.vector_norm(a[:count] - b[:count], dim=1).clamp(min=1e-6)
        return _WEIGHT * _excess((of_a - of_b).abs() / distance)


class AdversarialLipschitzPenalty(Penalty):
    r"""Penalty on the slope at the samples in the direction in which the critic changes most.

    .. math:: \mathbb{E} \max\Big(\frac{|f(x) - f(x + r)|}{\|r\|} - 1, 0\Big), \qquad r = \epsilon \frac{d}{\|d\|}

    The direction d maximises :math:`|f(x) - f(x + r)|` to second order at 0; one step of power iteration on its Hessian, by finite
    differences, is the gradient at :math:`x + \xi d_0` for a random d_0. Lengths are in standardised units, where samples have a
    root mean square distance of 1 from their mean; the source draws them from [0.1, 10] for images of norm about 30.

    References:
        Terjék (2020), Adversarial Lipschitz regularization, arXiv:1907.05681.
        Miyato, Maeda, Koyama & Ishii (2018), Virtual adversarial training, arXiv:1704.03976 (the power iteration).
    """

    def __call__(self, critic: nn.Module, a: Tensor, b: Tensor) -> Tensor:
        return _WEIGHT * (_adversarial_slopes(critic, torch.cat([a, b]), self._generator) - 1).clamp(min=0).mean()


class Unconstrained(Penalty):
    r"""Price of the Lipschitz constant itself, a quarter of its square; the optimal critic then has Lipschitz constant 2 W1.

    For every :math:`\alpha > 1`, without any constraint on f,

    .. math:: W_1^\alpha = \sup_f\ \mathbb{E}_A f - \mathbb{E}_B f - (\alpha - 1)\, \alpha^{\alpha / (1 - \alpha)}\,
              \|f\|_L^{\alpha / (\alpha - 1)},

    attained by :math:`\alpha W_1^{\alpha - 1}` times an optimal potential (:func:`power_price`). Here alpha is 2. A lower estimate
    replaces the Lipschitz constant: the largest slope found at the samples in the direction in which the critic changes most. The
    value is the square of a distance, so this penalty is used for training generators, not for the critics of an estimate.

    References:
        Terjék (2020), Lipschitz continuity and neural networks, a talk (the unconstrained Wasserstein GAN).
    """

    def __call__(self, critic: nn.Module, a: Tensor, b: Tensor) -> Tensor:
        return power_price(_adversarial_slopes(critic, torch.cat([a, b]), self._generator).max(), _ALPHA)


def power_price(lipschitz: Tensor, alpha: float) -> Tensor:
    """Price of a Lipschitz constant for ``alpha`` > 1: the supremum of the dual value minus this price is W1 to the power of
    ``alpha``."""
    return (alpha - 1) * alpha ** (alpha / (1 - alpha)) * lipschitz ** (alpha / (alpha - 1))


class SpectralJacobianPenalty(Penalty):
    r"""Penalty on the largest singular value of the critic's Jacobian at the samples (:class:`JacobianNorm`) if it exceeds 1.

    The source adds a multiple of the norm to the loss of a classifier. The dual value and that term are both homogeneous, so their
    difference would have its maximum at 0 or at infinity. Here the squared excess over 1 is penalised instead.

    References:
        Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, appendix F.
    """

    resumable = ("_norm",)

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__(generator)
        self._norm = JacobianNorm(generator)

    def __call__(self, critic: nn.Module, a: Tensor, b: Tensor) -> Tensor:
        x = torch.cat([a, b]).requires_grad_()
        return _WEIGHT * _excess(self._norm(x, critic(x).reshape(len(x), -1)))


class JacobianNorm:
    r"""Largest singular value of a network's Jacobian at each sample, by power iteration that continues from batch to batch.

    Algorithm 2 of the source: with u from the previous batch, :math:`g = u^\top J`, :math:`v = g / \|g\|`, and :math:`h = J v` as
    the derivative of :math:`v^\top g` with respect to u, so that reverse mode computes both products. :math:`u^\top h` approaches
    the largest singular value from below.

    Arguments:
        generator: of the first u, on the device of the samples.

    References:
        Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, appendix F, algorithm 2.
    """

    resumable = ("_generator", "_u")

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator
        self._u: Tensor | None = None

    def __call__(self, x: Tensor, outputs: Tensor) -> Tensor:
        """The estimate at each sample, shape (n,), differentiable in the network's parameters.

        Arguments:
            x: samples, shape (n, dim), which require a gradient.
            outputs: of the network for them, shape (n, outputs), in the graph of x.
        """
        if self._u is None or self._u.shape != outputs.shape:
            start = torch.randn(outputs.shape, generator=self._generator, device=x.device, dtype=x.dtype)
            self._u = nn.functional.normalize(start, dim=1)
        u = self._u.requires_grad_()
        (g,) = torch.autograd.grad((u * outputs).sum(), x, create_graph=True)
        v = nn.functional.normalize(g.detach(), dim=1)
        (h,) = torch.autograd.grad((v * g).sum(), u, create_graph=True)
        self._u = nn.functional.normalize(h.detach(), dim=1)
        return (self._u * h).sum(1)


def _adversarial_slopes(critic: nn.Module, x: Tensor, generator: torch.Generator) -> Tensor:
    """Slope from each x in the direction in which the critic changes most, shape (n,), differentiable in the parameters."""
    start = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    r = (_STEP * nn.functional.normalize(start, dim=1)).requires_grad_()
    # In a graph of its own, so that the penalty treats the direction as a constant.
    (direction,) = torch.autograd.grad((critic(x) - critic(x + r)).abs().sum(), r)
    share = torch.rand(len(x), 1, generator=generator, device=x.device, dtype=x.dtype)
    length = _SHORTEST * torch.exp(share * math.log(_LONGEST / _SHORTEST))
    moved = x + length * nn.functional.normalize(direction, dim=1)
    return (critic(x) - critic(moved)).abs() / length.squeeze(1)


def _slopes(critic: nn.Module, x: Tensor) -> Tensor:
    """Euclidean norm of the critic's gradient at each x, shape (n,), differentiable in the critic's parameters."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    # The square root is not differentiable at 0, where a critic is flat.
    return (gradient.square().sum(1) + 1e-12).sqrt()


def _between(a: Tensor, b: Tensor, generator: torch.Generator) -> Tensor:
    """A random point between each sample of A and one of B, shape (min(n, m), dim)."""
    count = min(len(a), len(b))
    share = torch.rand(count, 1, generator=generator, device=a.device, dtype=a.dtype)
    return share * a[:count] + (1 - share) * b[:count]


def _excess(slope: Tensor) -> Tensor:
    """Mean square of the excess over 1."""
    return (slope - 1).clamp(min=0).square().mean()


PENALTIES: dict[str, type[Penalty]] = {
    "gradient-penalty": GradientPenalty,
    "gradient-penalty-one-sided": OneSidedGradientPenalty,
    "lipschitz-penalty": LipschitzPenalty,
    "adversarial-lipschitz": AdversarialLipschitzPenalty,
    "spectral-jacobian": SpectralJacobianPenalty,
    "unconstrained": Unconstrained,
}
"""All penalties by name; to add one, add a class and a row."""


def penalty(name: str, generator: torch.Generator) -> Penalty:
    """Makes the penalty with this name; ``generator`` is on the device of the samples."""
    return PENALTIES[name](generator)
