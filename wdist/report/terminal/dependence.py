"""A dependence as text: the answer, the intervals with what proves them, and how to read them."""

from rich.console import RenderableType
from rich.text import Text

from wdist.dependences.dependence import Dependence
from wdist.report.numbers import at_least, at_most, counted, duration, level, p_value
from wdist.report.sentences import DIGITS, METHODS, METRICS, dependence_headline, dependence_sentences
from wdist.report.terminal.estimate import bracket, source_line
from wdist.report.terminal.tables import ACCENT, facts_grid, heading, lines, paragraphs


def rendered_dependence(found: Dependence) -> RenderableType:
    """The whole result."""
    first = heading(dependence_headline(found), interrupted=found.interrupted)
    facts = facts_grid()
    facts.add_row("table", source_line(found.table))
    facts.add_row("columns", Text(", ".join(found.columns)))
    facts.add_row("with", Text(", ".join(found.with_)))
    facts.add_row("metric", Text(METRICS[found.estimate.metric].removesuffix(" metric")))
    last = f"seed {found.estimate.seed}, {found.estimate.environment.device}, {duration(found.seconds)} in total."
    return paragraphs(first, _intervals(found), facts, lines([*dependence_sentences(found), last]))


def _intervals(found: Dependence) -> RenderableType:
    rows, population, detected = facts_grid(), found.population, found.detected
    if found.samples is not None:
        samples = found.samples
        of_all = f"  between {counted(found.rows)} rows and {counted(samples.combinations)} combinations"
        rows.add_row("rows", bracket(samples.lower, samples.upper, exact=samples.exact).append(of_all, style="dim"))
    stated = f"  at {level(population.confidence)}"
    rows.add_row("populations", bracket(population.lower, population.upper).append(stated, style="dim"))
    ends = f"{at_least(detected.lower, DIGITS)} to {at_most(detected.upper, DIGITS)}"
    note = f"  at {level(detected.confidence)}; by the critic, on {counted(detected.rows)} held-out rows"
    rows.add_row("detected", Text.assemble((ends, ACCENT), (note, "dim")))
    rows.add_row("independence", Text.assemble((p_value(detected.p_value), ACCENT), ("  by permutation of these rows", "dim")))
    rows.add_row("lower bound", Text(f"{found.estimate.critic.name}, {METHODS[population.method]}", style="dim"))
    if population.upper_method is not None:
        rows.add_row("upper bound", Text(population.upper_method, style="dim"))
    return rows
