"""Arrays in files: which format reads which suffix."""

from collections.abc import Callable

from wdist.data.access import Access
from wdist.data.sources.address import Address
from wdist.data.sources.h5 import open_h5
from wdist.data.sources.npy import open_npy, open_npz
from wdist.data.sources.selection import OPTIONS as SELECTION
from wdist.data.sources.source import FiniteSource
from wdist.data.sources.stored_array import ArraySource, StoredArray, describe
from wdist.data.sources.tensor_files import open_safetensors, open_torch_file
from wdist.data.sources.text_table import open_table
from wdist.data.sources.units import OPTIONS as UNITS
from wdist.data.sources.units import units_of

FORMATS: dict[str, Callable[[Address], StoredArray]] = {
    ".h5": open_h5,
    ".hdf5": open_h5,
    ".npy": open_npy,
    ".npz": open_npz,
    ".csv": open_table,
    ".tsv": open_table,
    ".pt": open_torch_file,
    ".pth": open_torch_file,
    ".safetensors": open_safetensors,
}
"""What opens a file, by its suffix in lower case."""


def open_array(address: Address, access: Access) -> FiniteSource:
    """The array that an address with a suffix of :data:`FORMATS` names.

    Raises:
        SourceError: it cannot be read as numbers.
    """
    address.only(*SELECTION, *UNITS)
    array = FORMATS[address.suffix](address)
    info = describe(array.shape, array.dtype, address.text, "array", units_of(array.dtype, address))
    return ArraySource(array, info)
