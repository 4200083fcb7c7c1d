"""Options: words that exclude each other or lie outside their range are refused with the way out."""

import subprocess
import sys
from dataclasses import fields

import pytest

from wdist.critics.settings import CriticSettings
from wdist.data.access import Access
from wdist.errors import UsageError
from wdist.estimation.options import EstimateArguments, EstimateOptions
from wdist.training.budget import Budget


def test_keyword_arguments_are_the_options_and_steps():
    names = {each.name for kind in (EstimateOptions, Access, CriticSettings) for each in fields(kind)}
    assert set(EstimateArguments.__annotations__) == names | {"steps"}


def test_words_become_values():
    options = EstimateOptions.validated(budget="2m", baselines="relu-bjorck, radial", critic="cones")
    assert options.budget == Budget(seconds=120)
    assert options.baselines == ("relu-bjorck", "radial")
    assert EstimateOptions.validated(steps=7).budget == Budget(steps=7)
    assert EstimateOptions.validated(baselines=()).baselines == "none"
    assert EstimateOptions.validated(critics=["cones"]).critics == ("cones",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"critic": "cones", "critics": "all"}, "critic names the main critic .* give one of them"),
        ({"critics": "cones,radial", "baselines": "none"}, "critics lists all critics .* give one of them"),
        ({"critics": ()}, "critics names no critic"),
        ({"baselines": " , "}, "baselines names no critic"),
        ({"budget": "2m", "steps": 3}, "give one of them"),
        ({"budget": "two"}, "budget 'two' is not a length of time"),
        ({"confidence": 1.0}, "confidence"),
        ({"metric": "l3"}, "metric"),
        ({"repeats": 0}, "repeats"),
        ({"seed": -1}, "seed"),
        ({"tolerance": 2.0}, "tolerance"),
        ({"widht": 3}, "no option widht; did you mean width"),
    ],
    ids=str,
)
def test_words_that_make_no_sense_are_refused(words, message):
    with pytest.raises(UsageError, match=message):
        EstimateOptions.validated(**words)


@pytest.mark.parametrize("part", ["activation", "constraint"])
def test_a_critic_that_is_put_together_is_not_compared_with_complete_ones(part):
    settings = CriticSettings(**{part: {"activation": "relu", "constraint": "spectral"}[part]})
    with pytest.raises(UsageError, match=f"{part} cannot be combined with.*critics.*baselines"):
        EstimateOptions.validated(settings=settings, critics="cones,radial")


def test_options_are_made_without_torch():
    """The command line refuses a wrong option at once."""
    code = "import sys; from wdist.estimation.options import EstimateOptions as E; E.validated(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
