"""Training a generator: its files, its lower bounds, and interruptions that are resumed to the same digits."""

import json
import os
import signal
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from wdist.data.access import Access
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import random_stream
from wdist.errors import OutputError, SourceError, UsageError
from wdist.gan import training
from wdist.gan.files import load_state
from wdist.gan.game import Game
from wdist.gan.images import load_images
from wdist.gan.settings import CRITICS, GanSettings
from wdist.gan.training import train_gan


def same(one, other):
    """Whether two state files hold the same numbers, bit by bit."""
    one, other = (load_file(folder / "state.safetensors") for folder in (one, other))
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("critic", CRITICS)
def test_a_resumed_training_is_the_same_as_an_uninterrupted_one(critic, train, small, tmp_path):
    train(tmp_path / "whole", small(critic=critic), steps=3)
    train(tmp_path / "parts", small(critic=critic), steps=2)
    assert not same(tmp_path / "whole", tmp_path / "parts")
    result = train(tmp_path / "parts", resume=True, steps=3)
    assert (result.resumed_at, result.steps, result.interrupted) == (2, 3, False)
    assert same(tmp_path / "whole", tmp_path / "parts")
    assert [each.step for each in result.measured] == [1, 2, 3]
    weights = [(tmp_path / folder / "generator.safetensors").read_bytes() for folder in ("whole", "parts")]
    assert weights[0] == weights[1]


def test_a_resumed_training_ends_where_the_first_one_was_to_end(train, small, tmp_path):
    """Unless other steps are requested, which the state then holds."""

    def interrupt(checkpoint):
        if checkpoint.step == 3:
            raise KeyboardInterrupt

    train(tmp_path / "run", small(), steps=6, observer=interrupt)
    assert train(tmp_path / "run", resume=True).steps == 6
    with pytest.raises(UsageError, match="has already reached step 6; ask for more with steps=12"):
        train(tmp_path / "run", resume=True)
    assert train(tmp_path / "run", resume=True, steps=8, observer=interrupt).steps == 8
    assert load_state(tmp_path / "run").goal == 8


def test_ctrl_c_saves_what_a_resumption_needs(train, small, tmp_path):
    def interrupt(checkpoint):
        if checkpoint.step == 3:
            raise KeyboardInterrupt

    train(tmp_path / "whole", small(), steps=6)
    result = train(tmp_path / "parts", small(), steps=6, observer=interrupt)
    assert (result.interrupted, result.steps, result.exported) == (True, 3, None)
    train(tmp_path / "parts", resume=True, steps=6)
    assert same(tmp_path / "whole", tmp_path / "parts")


@pytest.fixture
def presses(monkeypatch):
    """Sends signals in the middle of the third step of a game: the critic has been trained and the generator has not."""
    step = Game._generator_step

    def send(*numbers):
        def interrupted(game, stream):
            if game.steps == 2:
                for place, number in enumerate(numbers):
                    time.sleep(0.15 * place)  # one that comes sooner is the same
                    signal.raise_signal(number)
            step(game, stream)

        monkeypatch.setattr(Game, "_generator_step", interrupted)

    return send


@pytest.fixture
def terminated():
    """SIGTERM raises KeyboardInterrupt, as in the command line."""

    def raise_interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, raise_interrupt)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_a_step(number, train, small, tmp_path, presses, terminated):
    """So that the state that is saved is one between steps."""
    train(tmp_path / "whole", small(), steps=5)
    before = signal.getsignal(number)
    presses(number)
    result = train(tmp_path / "parts", small(), steps=5)
    assert (result.interrupted, result.steps, [each.step for each in result.measured]) == (True, 3, [1, 2, 3])
    assert signal.getsignal(number) is before
    presses()
    train(tmp_path / "parts", resume=True, steps=5)
    assert same(tmp_path / "whole", tmp_path / "parts")


def test_a_second_ctrl_c_does_not_wait_and_keeps_the_last_checkpoint(train, small, tmp_path, presses):
    train(tmp_path / "whole", small(), steps=3)
    presses(signal.SIGINT, signal.SIGINT)
    result = train(tmp_path / "parts", small(), steps=4)
    assert (result.interrupted, [each.step for each in result.measured]) == (True, [1, 2])
    presses()
    assert train(tmp_path / "parts", resume=True, steps=3).resumed_at == 2
    assert same(tmp_path / "whole", tmp_path / "parts")


def test_an_interruption_after_the_last_step_keeps_the_result(train, small, tmp_path, monkeypatch):
    """The program is then missing, and a resumption writes it."""

    def interrupted(path, generator, latent):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(training.files, "export_generator", interrupted)
        result = train(tmp_path / "run", small(), steps=2)
    assert (result.interrupted, result.steps, result.exported) == (True, 2, None)
    assert train(tmp_path / "run", resume=True, steps=2).exported is not None


def test_an_interruption_in_the_first_step_leaves_nothing(train, small, tmp_path, monkeypatch):
    def interrupted(game):
        raise KeyboardInterrupt

    monkeypatch.setattr(Game, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "new" / "run", small(), steps=2)
    assert os.listdir(tmp_path) == []


def test_another_seed_is_another_training(train, small, tmp_path):
    for seed in (0, 1):
        train(tmp_path / str(seed), small(seed=seed), steps=1)
    assert not same(tmp_path / "0", tmp_path / "1")
    assert train(tmp_path / "1", resume=True, steps=2).steps == 2, "?limit= takes the same images again"


def test_both_forms_of_a_checkpoint_draw_the_same_images(small, tmp_path):
    """And sheets and numbered checkpoints lie beside them."""
    result = train_gan(tmp_path / "run", small(), steps=4)
    weights = open_source(result.generator)
    program = open_source(result.exported, Access(trust=True))
    drawn = [source.draw(7, torch.Generator().manual_seed(3)) for source in (weights, program)]
    torch.testing.assert_close(drawn[0], drawn[1], rtol=1e-5, atol=1e-6)
    assert float(drawn[0].std()) > 0
    assert weights.info.event_shape == (8, 8)
    for address in result.checkpoints:
        assert open_source(address).draw(2, torch.Generator().manual_seed(0)).shape == (2, 64)
    assert len(result.checkpoints) == 4
    with Image.open(result.sheet) as sheet:
        assert sheet.size == (10 * (32 + 2) + 2,) * 2  # ten by ten, enlarged four times, with gaps
    assert len(list((tmp_path / "run").glob("samples-*.png"))) == 4


def test_the_lower_bound_is_below_the_exact_distance(train, small, tmp_path):
    """The certified value stays below W1 of the same images, by assignment; and the critic does prove something."""
    settings = small(critic_width=32)
    result = train(tmp_path / "run", settings, steps=12)
    images = load_images(settings.data, Access()).spread_out(2048).numpy()
    latents = torch.randn(len(images), settings.latent, generator=random_stream(settings.seed, 15, 0))
    network = open_source(result.generator)._network
    with torch.no_grad():
        made = network.run(latents).flatten(1).double().numpy()
    costs = cdist(images, made)
    exact = float(np.mean(costs[linear_sum_assignment(costs)]))
    assert result.compared == len(images) == 60
    assert 0.2 * exact < result.measured[-1].lower <= exact


@pytest.mark.parametrize("critic", ["weight-clipping", "gradient-penalty"])
def test_critics_without_a_certificate_state_no_bound(critic, train, small, tmp_path):
    assert {each.lower for each in train(tmp_path / "run", small(critic=critic), steps=2).measured} == {None}


def test_the_generator_learns(samples):
    """Fifty steps take a good part of the way from noise: the mean image comes near that of the digits."""
    settings = GanSettings(data=f"{samples}/digits.h5", latent=8, width=8, critic_width=32, batch_size=32, learning_rate=3e-3)
    images = load_images(settings.data, Access())
    game, target = Game(settings, images, torch.device("cpu")), images.spread_out(2000).mean(0)
    latents = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))

    def miss():
        with torch.no_grad():
            return float((game.averaged()(latents).flatten(1).double().mean(0) - target).norm())

    before = miss()
    for _ in range(50):
        game.step()
    assert miss() < 0.6 * before


def test_colour_images_of_either_layout_are_learnt_from(train, small, tmp_path):
    for shape in ((12, 3, 8, 8), (12, 8, 8, 3)):
        file = tmp_path / f"{shape[1]}.npy"
        np.save(file, np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
        result = train(tmp_path / f"run{shape[1]}", small(data=str(file)), steps=1)
        assert open_source(result.generator).info.event_shape == result.event_shape == shape[1:]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("synthetic:sphere?dim=16", "are not images"),
        ("numbers.npy", "are not images"),
        ("raw.npy?range=raw", "range from 0 to 255"),
        ("missing.npy", "does not exist"),
    ],
)
def test_data_other_than_images_in_the_unit_interval_are_refused(data, words, small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("numbers.npy", np.zeros((5, 64)))
    np.save("raw.npy", np.full((5, 8, 8), 255, dtype=np.uint8) * np.arange(2, dtype=np.uint8).repeat(32).reshape(8, 8))
    with pytest.raises((SourceError, UsageError), match=words):
        train_gan("run", small(data=data), steps=1)
    assert not (tmp_path / "run").exists()


def test_a_generator_cannot_learn_from_a_generator(train, small, tmp_path):
    result = train(tmp_path / "run", small(), steps=1)
    with pytest.raises(SourceError, match="draws without end"):
        train_gan(tmp_path / "other", small(data=result.generator), steps=1)


def test_a_folder_is_not_overwritten_or_resumed_as_another_training(train, small, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(UsageError, match="nothing to resume"):
        train(folder, resume=True, steps=1)
    train(folder, small(), steps=2)
    with pytest.raises(OutputError, match="resume=True"):
        train(folder, small(), steps=2)
    with pytest.raises(UsageError, match="has already reached step 2"):
        train(folder, resume=True, steps=2)
    with pytest.raises(UsageError, match="latent=5 differs from the training's 4"):
        train(folder, resume=True, steps=3, changes={"latent": 5})
    state = folder / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-9])
    with pytest.raises(SourceError, match="is not a readable training state"):
        train(folder, resume=True, steps=3)


def test_a_training_killed_before_its_last_file_is_completed(train, small, tmp_path, monkeypatch):
    """No step is taken again, and a program of an earlier checkpoint is never left beside the weights of a later one."""

    def killed(path, generator, latent):
        assert not path.exists()
        raise MemoryError

    train(tmp_path / "whole", small(), steps=2)
    folder = tmp_path / "run"
    train(folder, small(), steps=1)
    with monkeypatch.context() as patched:
        patched.setattr(training.files, "export_generator", killed)
        with pytest.raises(MemoryError):
            train(folder, resume=True, steps=2)
    result = train(folder, resume=True, steps=2)
    assert (result.steps, result.checkpoints, result.interrupted) == (2, (), False)
    assert [each.step for each in result.measured] == [1, 2]
    assert sorted(os.listdir(folder)) == sorted(os.listdir(tmp_path / "whole"))
    assert same(tmp_path / "whole", folder)
    with pytest.raises(UsageError, match="has already reached step 2"):
        train(folder, resume=True, steps=2)


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_belongs_to_one_training_at_a_time(resume, train, small, tmp_path):
    refused = []

    def start_another(checkpoint):
        with pytest.raises(OutputError, match=r"in use by another wdist; wait for it to end") as caught:
            train(tmp_path / "run", None if resume else small(), resume=resume, steps=3)
        refused.append(caught.value)

    train(tmp_path / "run", small(), steps=1, observer=start_another)
    assert len(refused) == 1
    assert ".wdist-lock" not in os.listdir(tmp_path / "run")


def test_a_training_does_not_put_its_files_among_its_images(small, tmp_path):
    for number in range(12):
        Image.new("L", (8, 8), number).save(tmp_path / f"{number}.png")
    for folder in (tmp_path, tmp_path / "run"):
        with pytest.raises(OutputError, match="among the inputs; name a folder outside of"):
            train_gan(folder, small(data=str(tmp_path)), steps=1)
    assert len(os.listdir(tmp_path)) == 12


def test_other_images_are_noticed(train, small, tmp_path):
    file = tmp_path / "a.npy"
    np.save(file, np.zeros((9, 8, 8), dtype=np.uint8))
    train(tmp_path / "run", small(data=str(file)), steps=1)
    np.save(file, np.full((9, 8, 8), 255, dtype=np.uint8))
    with pytest.raises(SourceError, match="other images"):
        train(tmp_path / "run", resume=True, steps=2)


@pytest.mark.parametrize(
    "change", [{"critic": "linear"}, {"latent": 0}, {"batch_size": 1}, {"learning_rate": -1.0}, {"critic_steps": 0}, {"seed": -1}]
)
def test_settings_outside_their_range_are_refused(change, small):
    with pytest.raises(UsageError, match=next(iter(change))):
        small(**change)


def test_the_state_describes_its_training(train, small, tmp_path):
    from safetensors import safe_open

    train(tmp_path / "run", small(), steps=1)
    with safe_open(tmp_path / "run" / "state.safetensors", framework="pt") as file:
        told = json.loads(file.metadata()["training"])
    assert told["steps"] == 1
    assert told["settings"]["latent"] == 4
    assert len(told["digest"]) == 64
