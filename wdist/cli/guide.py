"""``wdist guide [TOPIC]``: the pages of the guide, rendered on a terminal and plain Markdown elsewhere."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from textwrap import indent
from typing import TYPE_CHECKING, Annotated, ClassVar

from wdist.cli import options as opt
from wdist.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.markdown import Markdown, MarkdownContext

INDEX = "README"
"""The page that lists all others; code hosts show a page of this name with its folder."""
_WIDEST = 100
"""Columns of rendered text; longer lines are hard to read."""

_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.DOTALL | re.MULTILINE)
_DISPLAYED = re.compile(r"\$\$\s*(.+?)\s*\$\$", re.DOTALL)
_INLINE = re.compile(r"\$([^$\n]+)\$")
_LINK = re.compile(r"(?P<image>!?)\[(?P<words>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_TEX = (
    (r"\\(?:mathbb|mathrm|text|operatorname)\{([^{}]*)\}", r"\1"),
    (r"\\[;,:! ]", " "),
    (r"_\{([^{}]*)\}", r"_\1"),
    (r"\^\{([^{}]*)\}", r"^(\1)"),
    (r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"(\1) / \2"),
    (r"\\le\b", "≤"),
    (r"\\ge\b", "≥"),
    (r"_1\b", "₁"),
    (r" {2,}", " "),
)
"""Replacements that turn the TeX of the pages into plain text, in order."""


def command(
    topic: Annotated[str | None, opt.argument("TOPIC", "A page, such as gates. Default: the index.")] = None,
    list_topics: Annotated[bool, opt.option(None, "", "List the topics, one to a line.", "--list")] = False,
    debug: opt.Debug = False,
) -> int:
    """Show a page of the guide: concepts, addresses, gates, critics, limits, and more.

    Pages are rendered on a terminal and printed as Markdown otherwise.

    Example: wdist guide gates
    """
    from wdist.cli.console import result_console

    console = result_console()
    if list_topics:
        _print_topics(console)
        return ExitStatus.DONE
    text = page(INDEX if topic is None else _resolved(topic))
    if console.is_terminal:
        import shutil

        console.print(rendered(text), width=min(shutil.get_terminal_size().columns, _WIDEST), crop=False)
    else:
        print(text, end="")
    return ExitStatus.DONE


@cache
def topics() -> tuple[str, ...]:
    """All topics, in the order of the index."""
    return tuple(re.findall(r"^- \[[^\]]+\]\(([a-z]+)\.md\)", page(INDEX), re.MULTILINE))


@cache
def page(topic: str) -> str:
    """The Markdown of a page, without comments."""
    return _COMMENT.sub("", (files("wdist") / "guide" / f"{topic}.md").read_text(encoding="utf-8"))


def summary(topic: str) -> str:
    """The sentence below the title of a page."""
    return " ".join(page(topic).split("\n\n")[1].split())


def rendered(text: str) -> Markdown:
    """A page for the terminal: formulas, links and figures as plain text, code unwrapped."""
    from rich.markdown import CodeBlock, Heading, Markdown, TableDataElement
    from rich.text import Text

    class LeftHeading(Heading):
        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            yield self.text

    class WholeLines(CodeBlock):
        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            code, style = str(self.text).rstrip(), ""
            if self.lexer_name != "text":
                code, style = indent(code, "  "), "cyan"
            yield Text(code, style=style, no_wrap=True, overflow="ignore")

    class WholeCell(TableDataElement):
        def on_enter(self, context: MarkdownContext) -> None:
            self.content.overflow = "fold"

    class Page(Markdown):
        elements: ClassVar = {
            **Markdown.elements,
            "heading_open": LeftHeading,
            "fence": WholeLines,
            "td_open": WholeCell,
            "th_open": WholeCell,
        }

    return Page(for_terminal(text))


def for_terminal(text: str) -> str:
    """The Markdown of a page, with plain text for formulas, links and figures, which a terminal cannot show."""
    parts = _CODE.split(_DISPLAYED.sub(lambda match: f"```tex\n{_plain(match[1])}\n```", text))
    parts[::2] = [_LINK.sub(_link_in_words, _INLINE.sub(lambda match: _plain(match[1]), part)) for part in parts[::2]]
    return "".join(parts)


def _plain(formula: str) -> str:
    for pattern, replacement in _TEX:
        formula = re.sub(pattern, replacement, formula)
    return formula


def _link_in_words(match: re.Match[str]) -> str:
    words, target = match["words"], match["target"]
    if re.match(r"[a-z]+:", target):
        return match[0]
    path = target.partition("#")[0]
    if match["image"]:
        return f"Figure: {words}, `{_in_repository(path)}` in the repository."
    if not path:
        return words
    if "/" in path:
        return f"{words} (`{_in_repository(path)}` in the repository)"
    topic = path.removesuffix(".md")
    shown = "wdist guide" if topic == INDEX else f"wdist guide {topic}"
    return f"`{shown}`" if words == topic else f"{words} (`{shown}`)"


def _in_repository(path: str) -> str:
    return path.removeprefix("../../")


def _resolved(topic: str) -> str:
    wanted = topic.lower().removesuffix(".md")
    if wanted in topics():
        return wanted
    meant = get_close_matches(wanted, topics(), n=1, cutoff=0.5)
    hint = f"did you mean {meant[0]}?" if meant else "`wdist guide --list` lists the topics"
    raise UsageError(f"the guide has no page {topic!r}; {hint}")


def _print_topics(console: Console) -> None:
    lines = {topic: summary(topic).replace("`", "") for topic in topics()}
    if not console.is_terminal:
        width = max(map(len, lines))
        print("\n".join(f"{topic:<{width}}  {line}" for topic, line in lines.items()))
        return
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for topic, line in lines.items():
        table.add_row(topic, line)
    console.print(table)
