"""The polar factor of a product of two thin matrices, from their small Gram matrices: what a minibatch's gradient is.

References:
    Amsel, Persson, Musco & Gower (2025), The Polar Express, arXiv:2505.16932.
"""

import torch
from torch import Tensor

from wdist.lipschitz.linalg.orthonormalise import POLAR_EXPRESS, add_product

STEPS = 3
"""Quintics that float32 bears on Gram matrices: with five, eigenvalues that rounding makes negative were seen to diverge."""


def product_polar(D: Tensor, H: Tensor) -> Tensor:
    r"""The left factor :math:`D'` of :math:`D'^\top H`, an approximate polar factor of :math:`D^\top H`.

    With :math:`G = D^\top H` an odd polynomial of G is :math:`D^\top p(B A) H`, where :math:`A = D D^\top` and
    :math:`B = H H^\top` have n rows only; so three quintics of Polar Express cost a dozen products of n x n matrices, whatever the
    size of G. The result agrees with :func:`wdist.lipschitz.linalg.orthonormalise.polar_express` of G.

    Arguments:
        D, H: shapes (n, o) and (n, i), of any scale, or as many along a leading axis; n is best below o and i.
    """
    tiny = torch.finfo(D.dtype).tiny
    A, B = D @ D.mT, H @ H.mT
    norm = 1.01 * (A * B).sum((-2, -1), keepdim=True).clamp(min=tiny).sqrt()  # of G, Frobenius
    A = A / norm / norm  # twice: the square of a small norm is 0
    composed = None
    for step, (a, b, c) in enumerate(POLAR_EXPRESS[:STEPS], start=1):
        M = B @ A
        P = add_product(M, M, M, beta=b, alpha=c)
        P.diagonal(dim1=-2, dim2=-1).add_(a)
        composed = P if composed is None else composed @ P
        if step < STEPS:
            A = P.mT @ A @ P
    assert composed is not None, "there is a step"
    return (composed / norm).mT @ D
