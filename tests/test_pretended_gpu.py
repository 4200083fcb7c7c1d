"""Everything that takes a device runs on a GPU that is only pretended, and gives what the CPU gives."""

import numpy as np
import pandas as pd
import pytest
import torch

import wdist
from tests.pretended_gpu import GPU, pretended_gpu
from wdist.gan.settings import GanSettings
from wdist.gan.training import train_gan
from wdist.training.catalogue import CATALOGUE

CONES = [f"synthetic:cones?n=2&side={side}" for side in "ab"]
TINY = {"width": 8, "depth": 3, "batch_size": 16, "group_size": 4}
TRAINED = [name for name, kind in CATALOGUE.items() if kind.trained and name not in ("fullsort-bjorck", "groupsort-9-bjorck")]
CLOSED = [name for name, kind in CATALOGUE.items() if not kind.trained]
OWN = {"seed": 0, "progress": False}
QUICK = {"baselines": "none", "couplings": False, **OWN}


def samples(n=40, dim=4):
    x = np.random.default_rng(0).normal(size=(2, n, dim))
    return x[0], x[1] + 0.5


def numbers(found):
    if isinstance(found, list):
        return [each for part in found for each in numbers(part)]
    if isinstance(found, wdist.Estimate):
        population = found.population
        ends = [found.samples.lower, found.samples.upper, population.estimate, population.lower, population.upper]
        return [end for end in ends if end is not None]
    return [float(found)]


def estimated(device, *, sides=None, **options):
    a, b = sides or samples()
    return wdist.estimate(a, b, device=device, **{**QUICK, **options})


def judged(device):
    """A loss with its gradient, and the bound that follows."""
    w1 = wdist.W1(device=device, steps=4, critic="groupsort-bjorck", seed=0)
    a, b = (torch.from_numpy(side).float().to(device) for side in samples())
    shift = torch.zeros(4, device=device, requires_grad=True)
    w1(a, b + shift).backward()
    w1.update(a, b)
    return [float(w1.compute()), *shift.grad.tolist()]


def trained_generator(device, folder):
    np.save(folder / "images.npy", np.random.default_rng(0).random((32, 8, 8), dtype=np.float32))
    settings = GanSettings(data=str(folder / "images.npy"), width=8, critic_width=16, batch_size=16, latent=4)
    return train_gan(folder / device, settings, device=device, steps=2).measured[-1].lower


def table(column):
    a, b = samples()
    return pd.DataFrame({"u": a[:, 0], "v": b[:, 1] if column else a[:, 1]})


def classified(device):
    torch.manual_seed(0)
    x, labels = samples()[0].astype(np.float32), np.arange(40) % 3
    return wdist.robust(torch.nn.Linear(4, 3), x, labels, eps=0.1, restarts=1, device=device, **OWN).certified_error


COMMANDS = {
    "auto, with transport": lambda device: estimated(device, steps=6, couplings=True),
    "closed forms": lambda device: wdist.estimate(*samples(), critics=CLOSED, device=device, **OWN),
    "draws": lambda device: estimated(device, sides=CONES, critic="cones", steps=6, draws=100),
    "seeds side by side": lambda device: estimated(device, critic="groupsort-bjorck", steps=6, repeats=2, **TINY),
    "folds": lambda device: estimated(device, critic="groupsort-bjorck", steps=6, folds=2, **TINY),
    "orthogonal SGD": lambda device: estimated(device, critic="groupsort-bjorck", optimizer="orthogonal-sgd", steps=6, **TINY),
    "a divergence": lambda device: estimated(device, divergence="kl", lambda_=1.0, critic="groupsort-bjorck", steps=6, **TINY),
    "bytes": lambda device: estimated(
        device, sides=[(40 * s).clip(0, 255).astype(np.uint8) for s in samples()], critic="cones", steps=6
    ),
    "features": lambda device: estimated(
        device, sides=[s.astype(np.float32) for s in samples()], features=torch.nn.Tanh(), critic="radial"
    ),
    "tables": lambda device: wdist.drift(table(0), table(1), critic="radial", device=device, **OWN).estimate,
    "a classifier": classified,
    "a loss": judged,
}


@pytest.mark.parametrize("name", TRAINED)
def test_every_critic_trains_on_a_gpu_as_on_the_cpu(name):
    options = {key: value for key, value in TINY.items() if key in CATALOGUE[name].accepts}
    options |= {"width": 9, "group_size": None} if name == "groupsort-9-spectral" else {}
    sides = [side.reshape(-1, 2, 2) for side in samples()] if "conv" in name else samples()
    expected = estimated("cpu", sides=sides, critic=name, steps=4, **options)
    with pretended_gpu():
        found = estimated("cuda", sides=sides, critic=name, steps=4, **options)
    assert numbers(found) == pytest.approx(numbers(expected), rel=1e-4, abs=1e-4)
    assert found.environment.device == "pretended GPU"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_gives_on_a_gpu_what_it_gives_on_the_cpu(command):
    expected = COMMANDS[command]("cpu")
    with pretended_gpu():
        found = COMMANDS[command]("cuda")
    assert numbers(found) == pytest.approx(numbers(expected), rel=1e-4, abs=1e-4)


def test_a_generator_trains_on_a_gpu(tmp_path):
    expected = trained_generator("cpu", tmp_path)
    with pretended_gpu():
        assert trained_generator("cuda", tmp_path) == pytest.approx(expected, rel=1e-3)


def test_a_proof_from_a_gpu_holds_on_the_cpu_and_the_other_way_round(tmp_path):
    with pretended_gpu():
        found = estimated("cuda", critic="groupsort-bjorck", steps=6, couplings=True, **TINY)
        wdist.save_proof(found, tmp_path / "gpu.safetensors")
    wdist.save_proof(estimated("cpu", critic="cones", steps=6, couplings=True), tmp_path / "cpu.safetensors")
    assert wdist.verify(tmp_path / "gpu.safetensors", *samples(), progress=False).ok
    with pretended_gpu():
        assert wdist.verify(tmp_path / "cpu.safetensors", *samples(), device="cuda", progress=False).ok


def test_training_steps_never_wait_for_the_gpu():
    """Evaluations do; there are as many in a longer training."""
    waits = []
    for steps in (4, 8):
        with pretended_gpu() as counted:
            estimated("cuda", critic="groupsort-bjorck", steps=steps, **TINY)
            waits.append(dict(counted))
    assert waits[0] == waits[1]


def test_what_a_gpu_refuses_is_refused():
    with pretended_gpu():
        x = torch.zeros(2, device="cuda")
        for mistake in (
            lambda: x + torch.zeros(2),
            lambda: x.copy_(torch.zeros(3, 2)[0]) @ torch.zeros(2),
            lambda: x.numpy(),
            lambda: torch.rand(2, device="cuda", generator=torch.Generator()),
            lambda: torch.rand(2, generator=torch.Generator("cuda")),
        ):
            with pytest.raises((RuntimeError, TypeError)):
                mistake()
        assert (x[torch.tensor([0])].device, x.new_ones(1).device, x.cpu().device.type) == (GPU, GPU, "cpu")
