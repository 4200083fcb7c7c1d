"""What is seen while critics train."""

import io

import pytest
from rich.console import Console

from wdist.report.terminal.progress import LiveDisplay, PlainDisplay, QuietDisplay, curve, display_on
from wdist.training.observer import CriticFinished, CriticStarted, Progress, SamplesBounded, Stage


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
    assert isinstance(display_on(console_on(io.StringIO(), terminal=False), quiet=True), QuietDisplay)
    assert isinstance(display_on(console_on(Terminal(), terminal=True)), LiveDisplay)
    assert isinstance(display_on(console_on(io.StringIO(), terminal=False)), PlainDisplay)


def test_colours_that_are_forced_into_a_log_do_not_make_it_a_terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert isinstance(display_on(Console(file=io.StringIO(), width=80)), PlainDisplay)


def test_without_a_terminal_a_critic_takes_five_plain_lines():
    stream = io.StringIO()
    with PlainDisplay(console_on(stream, terminal=False)) as display:
        for event in events():
            display.notify(event)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2 + 5
    assert "\x1b" not in stream.getvalue()
    assert lines[1] == "groupsort-bjorck: 200 steps (1 of 2)"
    assert "25%" in lines[2]
    assert "validation value" in lines[2]
    assert "done, 200 steps in 4.0 s" in lines[5]


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
    for part in ("groupsort-bjorck", "1 of 2", "step 148", "50 steps/s", "left", "validation value", "best", "█", "▁"):
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
    assert len(lines) == 7
    assert "24 before" in lines[0]
    assert "critic-29" in lines[-1]


def test_the_ends_are_told_whenever_the_gap_has_narrowed_by_a_fifth():
    stream = io.StringIO()
    display = PlainDisplay(console_on(stream, terminal=False))
    for lower, upper in ((0.5, None), (0.5, 1.0), (0.55, 1.0), (0.8, 1.0), (0.8, 0.99), (0.97, 0.99)):
        display.notify(SamplesBounded(lower=lower, upper=upper))
    assert stream.getvalue().splitlines() == [
        "samples: 0.5000 <= W1 <= 1.000, gap 50.0 %",
        "samples: 0.8000 <= W1 <= 1.000, gap 20.0 %",
        "samples: 0.9699 <= W1 <= 0.9900, gap 2.0 %",
    ]


def test_on_a_terminal_both_ends_are_seen_closing_in_whatever_is_being_done():
    display = LiveDisplay(console_on(io.StringIO(), terminal=True))
    for lower, upper in ((0.0, None), (0.2, 2.0), (0.9, 1.5), (1.0, 1.1)):
        display.notify(SamplesBounded(lower=lower, upper=upper))
    display.notify(Stage(what="exact transport"))
    plain = io.StringIO()
    Console(file=plain, width=80).print(display.__rich__())
    text = plain.getvalue()
    assert "samples: 1.000 <= W1 <= 1.101, gap 9.1 %" in text
    assert text.splitlines()[-1].startswith("█▄▂")
    assert max(len(line) for line in text.splitlines()) <= 80


def test_a_run_of_less_than_a_second_takes_two_lines():
    stream = io.StringIO()
    display = PlainDisplay(console_on(stream, terminal=False))
    display.notify(CriticStarted(critic="cones", position=1, critics=1, budget="8 steps"))
    for step in range(1, 9):
        display.notify(Progress(critic="cones", step=step, fraction=step / 8, seconds=step / 10, training=1, validation=1, best=1))
    display.notify(CriticFinished(critic="cones", steps=8, seconds=0.8, best=1.0, interrupted=False))
    assert len(stream.getvalue().splitlines()) == 2
