"""A Lipschitz constant as text: the interval, the bounds of each method, the layers, and the slopes at points."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from wdist.bounds.lipschitz.constant import LipschitzConstant
from wdist.report.numbers import at_least, at_most, counted, duration, shape
from wdist.report.sentences import lipschitz_headline, lipschitz_sentences
from wdist.report.terminal.tables import ACCENT, FittedTable, TableColumn, facts_grid, heading, lines, paragraphs

_MOST_LAYERS = 20
_LAYER_WIDTH = 44


def rendered_lipschitz(found: LipschitzConstant) -> RenderableType:
    """The whole result."""
    facts = facts_grid()
    facts.add_row("network", Text(f"{found.model}, {found.what}" if found.what != found.model else found.model))
    sizes = f"{shape(found.shape)} to {counted(found.outputs)}, {counted(found.parameters)} parameters"
    facts.add_row("sizes", Text(sizes))
    return paragraphs(
        heading(lipschitz_headline(found), interrupted=found.interrupted),
        _methods(found) if found.bounds else None,
        _layers(found) if found.layers else None,
        lines(lipschitz_sentences(found), ""),
        Group(facts, lines(_circumstances(found))),
    )


def _methods(found: LipschitzConstant) -> RenderableType:
    names, values = list(found.bounds), list(found.bounds.values())
    styles = [ACCENT if name == found.method else "" for name in names]
    return FittedTable(
        TableColumn("upper bound", [Text(_METHODS[name], style=style) for name, style in zip(names, styles, strict=True)]),
        TableColumn("K <=", [at_most(value) for value in values], styles),
        TableColumn("of the product", [f"{100 * value / max(values[0], 1e-300):.1f} %" for value in values]),
    )


_METHODS = {
    "product": "product of the norms of the layers",
    "averaged": "norms of products of layers",
    "semidefinite": "semidefinite (LipSDP)",
}


def _layers(found: LipschitzConstant) -> RenderableType:
    layers = found.layers[:_MOST_LAYERS]
    return FittedTable(
        TableColumn("layer", [layer.layer for layer in layers], most=_LAYER_WIDTH),
        TableColumn("norm <=", [at_most(layer.bound) for layer in layers]),
        TableColumn("proof", [layer.method for layer in layers], left=True),
    )


def _circumstances(found: LipschitzConstant) -> Iterator[str]:
    hidden = len(found.layers) - _MOST_LAYERS
    if hidden > 0:
        yield f"{hidden} more layers are in the JSON document."
    if found.local is not None and found.local.uppers:
        yield f"Slopes at each of the {counted(found.local.count)} points are in the JSON document."
    least = at_least(found.lower)
    yield f"lower bound {least} by search, seed {found.seed}, {duration(found.seconds)} in total."
