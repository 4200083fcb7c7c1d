"""Progress on the terminal while critics train."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from wdist.report.terminal.progress import LiveDisplay, PlainDisplay, TotalTime, curve, display_on
from wdist.training.observer import (
    NO_TRAINING,
    CriticFinished,
    CriticStarted,
    Progress,
    SamplesBounded,
    Silent,
    Stage,
    StageProgress,
)


def events(steps=200):
    yield Stage(what="opening the sources")
    yield CriticStarted(critic="groupsort-bjorck", position=1, critics=2, budget="200 steps")
    for step in range(1, steps + 1):
        value = 1 - 0.99**step
        yield Progress(
            critic="groupsort-bjorck",
            step=step,
            fraction=step / steps,
            seconds=step / 50,
            training=value,
            validation=value,
            best=value,
        )
    yield CriticFinished(critic="groupsort-bjorck", steps=steps, seconds=4.0, best=0.87, interrupted=False)
    yield Stage(what="exact transport between 2000 and 2000 samples")


def console_on(stream, *, terminal):
    return Console(file=stream, width=80, force_terminal=terminal, highlight=False, markup=False)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_display_suits_the_stream(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    with display_on(console_on(io.StringIO(), terminal=False), quiet=True) as display:
        assert isinstance(display, Silent)
    with display_on(console_on(Terminal(), terminal=True)) as display:
        assert isinstance(display, LiveDisplay)
    with display_on(console_on(io.StringIO(), terminal=False)) as display:
        assert isinstance(display, PlainDisplay)


def test_colours_that_are_forced_into_a_log_do_not_make_it_a_terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with display_on(Console(file=io.StringIO(), width=80)) as display:
        assert isinstance(display, PlainDisplay)


def test_without_a_terminal_a_critic_takes_five_plain_lines():
    stream = io.StringIO()
    display = PlainDisplay(console_on(stream, terminal=False))
    for event in events():
        display.notify(event)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2 + 5
    assert "\x1b" not in stream.getvalue()
    assert lines[1] == "groupsort-bjorck: 200 steps (1 of 2)"
    assert "25%" in lines[2]
    assert "validation value" in lines[2]
    assert "done, 200 steps in 4.0 s" in lines[5]


@pytest.mark.parametrize(("expected", "lines"), [(0.01, 1), (30.0, 2)])
def test_without_a_terminal_a_critic_in_closed_form_takes_one_line_unless_it_takes_time(expected, lines):
    stream = io.StringIO()
    display = PlainDisplay(console_on(stream, terminal=False))
    display.notify(CriticStarted(critic="radial", position=1, critics=1, budget=NO_TRAINING, expected=expected))
    display.notify(CriticFinished(critic="radial", steps=0, seconds=0.02, best=None, interrupted=False))
    assert len(stream.getvalue().splitlines()) == lines


def test_progress_in_leaps_is_not_told_twice():
    stream = io.StringIO()
    display = PlainDisplay(console_on(stream, terminal=False))
    display.notify(CriticStarted(critic="linear", position=1, critics=1, budget="10 steps"))
    for fraction in (0.8, 0.81, 0.9):
        display.notify(Progress(critic="linear", step=8, fraction=fraction, seconds=1, training=1, validation=1, best=1))
    assert len(stream.getvalue().splitlines()) == 2


def test_on_a_terminal_step_rate_time_left_bound_and_curve_are_shown():
    stream = io.StringIO()
    display = LiveDisplay(console_on(stream, terminal=True))
    for event in list(events())[:150]:
        display.notify(event)
    plain = io.StringIO()
    Console(file=plain, width=80).print(display.__rich__())
    text = plain.getvalue()
    for part in ("groupsort-bjorck", "1 of 2", "step 148", "50 steps/s", "elapsed", "validation value", "best", "█", "▁"):
        assert part in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_the_live_display_ends_and_shows_the_cursor_again_even_when_the_work_fails():
    stream = io.StringIO()
    with pytest.raises(ZeroDivisionError), LiveDisplay(console_on(stream, terminal=True)):
        raise ZeroDivisionError
    assert stream.getvalue().count("\x1b[?25h") == stream.getvalue().count("\x1b[?25l") == 1


def test_a_curve_is_as_wide_as_it_may_be_and_ends_with_the_last_value():
    assert curve([], 8) == ""
    assert curve([1.0], 8) == "▅"
    assert curve([0.0, 1.0], 8) == "▁█"
    long = curve([float(i) for i in range(1000)], 8)
    assert len(long) == 8
    assert list(long) == sorted(long)
    assert long[-1] == "█"


def test_of_many_critics_that_are_done_only_the_last_few_take_room():
    display = LiveDisplay(Console(file=io.StringIO(), width=80))
    for number in range(30):
        display.notify(CriticFinished(critic=f"critic-{number}", steps=10, seconds=1.0, best=0.5, interrupted=False))
    stream = io.StringIO()
    Console(file=stream, width=80).print(display)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 7 + 2
    assert "24 earlier" in lines[0]
    assert "critic-29" in lines[-3]


def test_the_bounds_for_the_samples_are_shown_in_a_log_and_on_a_terminal():
    event = SamplesBounded(lower=1.0, upper=1.1)
    stream = io.StringIO()
    plain = PlainDisplay(console_on(stream, terminal=False))
    for told in (event, event, SamplesBounded(lower=1.09999, upper=1.1)):
        plain.notify(told)
    assert stream.getvalue().splitlines() == [
        "samples: 1.000 <= W1 <= 1.101, gap 9.1 %",
        "samples: 1.0999900 <= W1 <= 1.1000001, gap 0.00091 %",
    ]
    display = LiveDisplay(console_on(io.StringIO(), terminal=True))
    display.notify(event)
    display.notify(Stage(what="exact transport"))
    assert "samples: 1.000 <= W1 <= 1.101, gap 9.1 %" in drawn(display)


def test_a_stage_shows_which_share_of_it_is_done():
    display = LiveDisplay(console_on(io.StringIO(), terminal=True))
    display.notify(Stage(what="reading and checking the samples"))
    display.notify(StageProgress(fraction=0.43))
    assert "reading and checking the samples ... 43%" in drawn(display)
    display.notify(Stage(what="transport"))
    assert "43%" not in drawn(display)


def drawn(display, width=80):
    plain = io.StringIO()
    Console(file=plain, width=width).print(display)
    return plain.getvalue()


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr("wdist.report.terminal.progress.time", SimpleNamespace(perf_counter=lambda: now.seconds))
    return now


def test_the_time_left_is_that_of_the_whole_command(clock):
    left = TotalTime()
    assert (left.left, str(left)) == (None, "0.0 s elapsed")
    left.notify(Stage(what="reading", expected=4.0, after=60.0))
    assert left.left == 64
    clock.seconds += 1
    left.notify(StageProgress(fraction=0.5))
    assert left.left == 61, "as much of the stage is left as is done, and all that follows"
    clock.seconds += 1
    left.notify(CriticStarted(critic="c", position=1, critics=2, budget="9 s", expected=20.0, after=40.0))
    clock.seconds += 5
    assert left.left == 55
    left.notify(Progress(critic="c", step=10, fraction=0.25, seconds=6, training=1, validation=1, best=1))
    assert left.left == 18 + 40
    assert left.fraction == pytest.approx(7 / 65)
    assert str(left) == "about 58 s left"
    clock.seconds += 1000
    assert left.left == 40, "what follows is never forgotten"


def test_without_a_forecast_only_the_elapsed_time_is_shown(clock):
    left = TotalTime()
    left.notify(CriticStarted(critic="c", position=1, critics=2, budget="9 s", expected=20.0))
    clock.seconds += 65
    left.notify(Progress(critic="c", step=10, fraction=0.25, seconds=6, training=1, validation=1, best=1))
    assert (left.left, left.fraction, str(left)) == (None, None, "1 min 05 s elapsed")


@pytest.mark.parametrize("width", [45, 80, 120])
def test_one_bar_shows_the_whole_command_at_any_width(clock, width):
    display = LiveDisplay(Console(file=io.StringIO(), width=width))
    display.notify(
        CriticStarted(critic="a-critic-with-a-long-name", position=1, critics=2, budget="200 steps", expected=20, after=40)
    )
    clock.seconds += 10
    display.notify(Progress(critic="c", step=1234, fraction=0.5, seconds=10, training=1, validation=1.23456, best=1.23456))
    lines = drawn(display, width).splitlines()
    assert len(lines) == 3
    assert max(map(len, lines)) <= width
    assert "17% about 50 s left" in lines[-1]


def test_a_closed_form_has_no_best_validation_value():
    stream = io.StringIO()
    PlainDisplay(console_on(stream, terminal=False)).notify(
        CriticFinished(critic="mean-difference", steps=0, seconds=0.1, best=None, interrupted=False)
    )
    assert stream.getvalue() == "mean-difference: done, 0.1 s\n"


def test_a_run_of_less_than_a_second_takes_two_lines():
    stream = io.StringIO()
    display = PlainDisplay(console_on(stream, terminal=False))
    display.notify(CriticStarted(critic="cones", position=1, critics=1, budget="8 steps"))
    for step in range(1, 9):
        display.notify(Progress(critic="cones", step=step, fraction=step / 8, seconds=step / 10, training=1, validation=1, best=1))
    display.notify(CriticFinished(critic="cones", steps=8, seconds=0.8, best=1.0, interrupted=False))
    assert len(stream.getvalue().splitlines()) == 2
