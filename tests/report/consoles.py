"""Results as a terminal shows them."""

import io

from rich.console import Console

from wdist.report.presentation import rendered


class _Ascii(io.StringIO):
    encoding = "ascii"


def shown(result, width=80, *, ascii_only=False, **options):
    """The report on a result as text, by default without styles."""
    stream = _Ascii() if ascii_only else io.StringIO()
    Console(file=stream, width=width, highlight=False, markup=False, **options).print(rendered(result))
    return stream.getvalue()
