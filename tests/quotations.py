"""Quoted output of the README and of the guide: found, run again, and put back (``make readme``).

A quoted output stands between two comments. The first names the command, and may keep the first lines only:

    <!-- output of: wdist estimate a.h5 b.h5 | head -6 -->
    ...
    <!-- end of output -->
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
README = REPOSITORY / "README.md"
GUIDE = REPOSITORY / "wdist" / "guide"
PAGES = (README, *sorted(GUIDE.glob("*.md")))
"""All files that may quote output."""
QUOTED = re.compile(r"<!-- output of: (?P<command>wdist .*?) -->\n(?P<text>.*?)<!-- end of output -->\n", re.DOTALL)
COLUMNS = 80
"""Width of quoted output, which fits every terminal that shows the guide."""
WRITING_OPTIONS = ("--plot", "--output", "-o", "--save-proof")
_FIGURE_PIXELS = 1400


@dataclass(frozen=True, kw_only=True)
class Quotation:
    """A command, and the output that a page quotes."""

    command: str
    """As the comment says, with ``| head -N`` if only the first lines are quoted."""
    text: str

    @property
    def exact(self) -> bool:
        """Help is quoted to the letter; results differ in their digits from machine to machine."""
        return self.command.endswith("--help")

    @property
    def run(self) -> str:
        """The command without ``| head -N``."""
        return self.command.partition(" | head -")[0]

    @property
    def lines(self) -> int | None:
        """How many lines are quoted; None for all."""
        count = self.command.partition(" | head -")[2]
        return int(count) if count else None

    def rerun(self, extra: Sequence[str] = (), *, folder: Path | None = None) -> str:
        """The block that quotes what the command prints now.

        Arguments:
            extra: further options.
            folder: where files that the command writes go instead of where it says.
        """
        arguments = shlex.split(self.run)[1:]
        if folder is not None:
            for i, option in enumerate(arguments[:-1]):
                if option in WRITING_OPTIONS:
                    arguments[i + 1] = str(folder / Path(arguments[i + 1]).name)
        return self.block(printed([*arguments, *extra]))

    def block(self, output: str) -> str:
        """The block that quotes an output; dots stand for lines that are left out."""
        lines = output.splitlines()
        if self.lines is not None and len(lines) > self.lines:
            lines = [*lines[: self.lines], "..."]
        return "\n".join(["```text", f"$ {self.run}", *lines, "```", ""])


def printed(arguments: Sequence[str]) -> str:
    """The standard output of ``wdist`` with these arguments, without colours, :data:`COLUMNS` wide."""
    environment = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "PYTEST_ADDOPTS")}
    environment |= {"NO_COLOR": "1", "COLUMNS": str(COLUMNS), "TERMINAL_WIDTH": str(COLUMNS)}
    command = [sys.executable, "-m", "wdist", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"wdist {shlex.join(arguments)} ended with status {done.returncode}:\n{done.stderr}")
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()).strip("\n")


def quotations(text: str) -> Iterator[Quotation]:
    """All quoted outputs of a page, in order."""
    for match in QUOTED.finditer(text):
        yield Quotation(command=match["command"], text=match["text"])


def skeleton(text: str) -> list[str]:
    """Words of an output in alphabetical order: without digits, rules and spacing, and without what may turn out either way.

    Critics stand in the order of their bounds, and a training has settled or not; both change with the digits.
    """
    text = re.sub(r"[\u2500-\u259f|]+", " ", text)  # box drawing and block elements
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"still rising when training ended: more --steps or a longer --budget may tighten the bound", "converged", text)
    text = re.sub(r"[-+]?\d[\d.,]*(e[-+]?\d+)?", "0", text)
    text = re.sub(r"0( min 0 s|s| s| min)\b", "0 s", text.replace("00", "0"))
    return sorted(text.split())


def whatever_was_chosen(text: str) -> str:
    """The part of an output that does not depend on the chosen critic: the verdict, the intervals and the truth."""
    above, _, below = text.partition("\nlower bounds ")
    return "\n".join([above, *re.findall(r"\ntruth .*", below)])


def main(names: Sequence[str] = ()) -> None:
    """Runs every quoted command and writes what it prints now.

    Arguments:
        names: files to update; all of them by default.
    """
    for page in map(Path, names) if names else PAGES:
        text = page.read_text()
        for quotation in quotations(text):
            sys.stderr.write(f"{page.name}: {quotation.command}\n")
            comment = f"<!-- output of: {quotation.command} -->\n"
            text = text.replace(comment + quotation.text, comment + quotation.rerun())
            for figure in re.findall(r"--plot (\S+\.png)", quotation.command):
                shrink(REPOSITORY / figure)
        page.write_text(text)


def shrink(figure: Path) -> None:
    """Reduces a figure to what a page shows, in 256 colours, rare ones among them: a fifth of the bytes in every clone."""
    from PIL import Image

    with Image.open(figure) as image:
        shown = image.convert("RGB")
    shown.thumbnail((_FIGURE_PIXELS, shown.height), Image.Resampling.LANCZOS)
    shown.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(figure, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
