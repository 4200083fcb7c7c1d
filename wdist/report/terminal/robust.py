"""The robustness of a classifier as text: the answer, three errors, and what proves them."""

from rich.console import RenderableType
from rich.text import Text

from wdist.report.numbers import at_least, at_most, duration, percentage
from wdist.report.sentences import robust_headline
from wdist.report.terminal.estimate import source_line
from wdist.report.terminal.tables import FittedTable, TableColumn, facts_grid, heading, paragraphs
from wdist.robustness.robust import Robustness


def rendered_robust(found: Robustness) -> RenderableType:
    """The whole result."""
    first = heading(robust_headline(found), interrupted=found.interrupted, alarming=bool(found.exit_status))
    facts = facts_grid()
    facts.add_row("model", Text(f"{found.model}, {found.classes} classes"))
    facts.add_row("data", source_line(found.data))
    facts.add_row("proof", Text(f"differences of two logits are {at_most(found.lipschitz_bound)}-Lipschitz: {found.proof}"))
    facts.add_row("radius", Text(f"the median certified radius is {at_least(found.median_radius)}"))
    circumstances = f"seed {found.seed}, {found.environment.device}, {duration(found.seconds)} in total."
    return paragraphs(first, _errors(found), facts, Text(circumstances, style="dim"))


def _errors(found: Robustness) -> RenderableType:
    starts = "one start" if found.restarts == 1 else f"{found.restarts} starts"
    found_by = f"the worst perturbations found by {starts} of {found.iterations} steps each"
    errors = (found.clean_error, found.attacked_error, found.certified_error)
    under = [
        "no perturbation",
        found_by if found.iterations else "no perturbation, as there was no attack",
        "every perturbation, at most",
    ]
    return FittedTable(
        TableColumn("", ["clean", "attacked", "certified"]),
        TableColumn("error", [percentage(error) for error in errors]),
        TableColumn("under", under, left=True, most=70),
    )
