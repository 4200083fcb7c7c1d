"""What the README quotes: found, run again, and put back (``make readme``).

A quoted output stands between two comments, of which the first names the command:

    <!-- output of: wdist estimate a.h5 b.h5 -->
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
QUOTED = re.compile(r"<!-- output of: (?P<command>wdist .*?) -->\n(?P<text>.*?)<!-- end of output -->\n", re.DOTALL)
_WIDTH = 1400
"""Pixels of a figure in the README."""
WRITING_OPTIONS = ("--plot", "--output", "-o", "--save-critic")


@dataclass(frozen=True, kw_only=True)
class Quotation:
    """A command, and what the README says that it prints."""

    command: str
    text: str

    @property
    def exact(self) -> bool:
        """Help is quoted to the letter; results differ in their digits from machine to machine."""
        return self.command.endswith("--help")

    def rerun(self, extra: Sequence[str] = (), *, folder: Path | None = None) -> str:
        """What the command prints now, as the README quotes it.

        Arguments:
            extra: further options.
            folder: where files that the command writes go instead of where it says.
        """
        arguments = shlex.split(self.command)[1:]
        if folder is not None:
            for i, option in enumerate(arguments[:-1]):
                if option in WRITING_OPTIONS:
                    arguments[i + 1] = str(folder / Path(arguments[i + 1]).name)
        return f"```text\n$ {self.command}\n{printed([*arguments, *extra])}\n```\n"


def printed(arguments: Sequence[str]) -> str:
    """The standard output of ``wdist`` with these arguments, without colours, 100 columns wide."""
    environment = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "PYTEST_ADDOPTS")}
    environment |= {"NO_COLOR": "1", "COLUMNS": "100", "TERMINAL_WIDTH": "100"}
    command = [sys.executable, "-m", "wdist", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"wdist {shlex.join(arguments)} ended with status {done.returncode}:\n{done.stderr}")
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()).strip("\n")


def quotations(text: str) -> Iterator[Quotation]:
    """All quoted outputs, in the order of the README."""
    for match in QUOTED.finditer(text):
        yield Quotation(command=match["command"], text=match["text"])


def skeleton(text: str) -> list[str]:
    """The words of an output in alphabetical order: without digits, rules and spacing, and without what may turn out either way.

    Critics stand in the order of their bounds, and a training has settled or not; both change with the digits.
    """
    text = re.sub(r"[\u2500-\u259f|]+", " ", text)  # box drawing and block elements
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"still rising when the budget ended, so a longer --budget may tighten the bound", "converged", text)
    text = re.sub(r"[-+]?\d[\d.,]*(e[-+]?\d+)?", "0", text)
    text = re.sub(r"0( min 0 s|s| s| min)\b", "0 s", text.replace("00", "0"))
    return sorted(text.split())


def whatever_was_chosen(text: str) -> str:
    """What an output says whichever critic was chosen: all above the tables of critics, which differ with the steps of each."""
    return re.sub(r"from below: [^,\u2502\n]+", "from below: a critic", text.partition("\ncritic ")[0])


def main() -> None:
    """Runs every quoted command and writes what it prints now."""
    text = README.read_text()
    for quotation in quotations(text):
        sys.stderr.write(f"{quotation.command}\n")
        text = text.replace(
            f"<!-- output of: {quotation.command} -->\n{quotation.text}",
            f"<!-- output of: {quotation.command} -->\n{quotation.rerun()}",
        )
        for figure in re.findall(r"--plot (\S+\.png)", quotation.command):
            shrink(REPOSITORY / figure)
    README.write_text(text)


def shrink(figure: Path) -> None:
    """Keeps as much of a figure as a page shows, in 256 colours, rare ones among them: a fifth of the bytes in every clone."""
    from PIL import Image

    with Image.open(figure) as image:
        shown = image.convert("RGB")
    shown.thumbnail((_WIDTH, shown.height), Image.Resampling.LANCZOS)
    shown.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(figure, optimize=True)


if __name__ == "__main__":
    main()
