"""GroupSort between orthonormal convolutions, for images: patches apart, so that the norm of the gradient is kept there, too.

The source orthonormalises the unfolded kernels of overlapping convolutions, whose norm is then anything up to the square root of
how many patches share a pixel; with patches that lie apart it is 1. Every second convolution moves their borders by half a patch.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4 and appendix H.3.
"""

from wdist.critics.conv import ConvRecipe

RECIPE = ConvRecipe(
    name="groupsort-conv",
    title="GroupSort, orthonormal convolutions",
    constraint="bjorck",
    activation="group-sort",
)
