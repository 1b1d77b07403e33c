"""A training run that is killed and resumed must give the losses of one that never stopped."""

import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from visage.training.loop import (
    AveragedWeights,
    Run,
    cosine_rate,
    optimizer_step,
    restore_checkpoint,
    step_generator,
    train,
    trapezoid_rate,
)

SCRIPT = """
import sys, time, torch
from pathlib import Path
from visage.training.loop import Run, step_generator, train
torch.manual_seed(0)
network = torch.nn.Linear(4, 1)
optimizer = torch.optim.AdamW(network.parameters(), lr=0.05)
def take_step(step):
    if step == 12 and sys.argv[2] == "slow":
        print("waiting", flush=True)
        time.sleep(60)
    x = torch.randn(8, 4, generator=step_generator(1, step))
    loss = (network(x) - x.sum(1, keepdim=True)).square().mean()
    optimizer.zero_grad(); loss.backward(); optimizer.step()
    return {"loss": loss.item()}
parts = {"network": network, "optimizer": optimizer}
train(Run(Path(sys.argv[1]), "toy", 20, save_every=5), parts, take_step)
"""


@pytest.mark.parametrize("seed", [2**64 - 1, 2**45, 0, -1])
def test_every_seed_has_its_own_random_numbers_at_every_step(seed):
    draws = {
        float(torch.rand((), generator=step_generator(s, step)))
        for s in (seed, seed + 1)
        for step in (0, 1, 9_999)
    }
    assert len(draws) == 6


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "toy.jsonl").read_text().splitlines()]


def start(folder, mode):
    command = [sys.executable, "-c", SCRIPT, str(folder), mode]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: S603


def run(folder):
    with start(folder, "fast") as process:
        assert process.wait(120) == 0


def test_losses_after_a_kill_are_those_of_an_uninterrupted_run(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(whole)
    with start(killed, "slow") as process:
        assert process.stdout.readline() == b"waiting\n"
        os.kill(process.pid, signal.SIGKILL)
    run(killed)
    assert losses(killed) == losses(whole)
    assert len(losses(killed)) == 20


def test_a_checkpoint_is_never_seen_half_written(tmp_path, monkeypatch):
    network = torch.nn.Linear(2, 2)
    run = Run(tmp_path, "toy", 2, save_every=1)

    def full_disk(*_):
        raise OSError("no space left")

    train(Run(tmp_path, "toy", 1, save_every=1), {"network": network}, lambda step: {"loss": 0.0})
    before = run.checkpoint.read_bytes()
    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="no space"):
        train(run, {"network": network}, lambda step: {"loss": 0.0})
    assert run.checkpoint.read_bytes() == before


def test_step_randomness_depends_on_the_step_alone():
    first = torch.randn(3, generator=step_generator(7, 4))
    torch.randn(100)
    assert torch.equal(first, torch.randn(3, generator=step_generator(7, 4)))
    assert not torch.equal(first, torch.randn(3, generator=step_generator(7, 5)))


def test_rate_warms_up_and_ends_near_zero():
    rates = [cosine_rate(step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01) and max(rates) == pytest.approx(1.0)
    assert rates[-1] < 1e-4
    assert all(a >= b for a, b in zip(rates[100:], rates[101:], strict=False))


def test_a_longer_trapezoid_shares_the_plateau_of_a_shorter_one():
    short, long = ([trapezoid_rate(step, steps) for step in range(steps)] for steps in (1000, 2000))
    assert short[:750] == long[:750]
    assert short[0] == pytest.approx(0.01) and max(short) == 1.0
    assert all(a > b for a, b in zip(short[750:], short[751:], strict=False))
    assert 0 < short[-1] < 0.01


def test_average_follows_the_network():
    network = torch.nn.Linear(1, 1)
    average = AveragedWeights(network, decay=0.9)
    with torch.no_grad():
        network.weight.fill_(3.0)
    for _ in range(200):
        average.update(network)
    assert average.weights["weight"].item() == pytest.approx(3.0, abs=1e-3)


def test_a_network_has_its_averaged_weights_only_inside_the_block():
    network = torch.nn.Linear(1, 1, bias=False)
    average = AveragedWeights(network, decay=0.9)
    averaged = average.weights["weight"].clone()
    with torch.no_grad():
        network.weight.fill_(3.0)
    with pytest.raises(RuntimeError), average.applied_to(network):
        assert torch.equal(network.weight, averaged)
        raise RuntimeError
    assert network.weight.item() == 3.0
    assert torch.equal(average.weights["weight"], averaged)


def test_a_step_has_its_rate_and_a_gradient_of_limited_length():
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=123.0)
    for _ in range(2):  # gradients of the step before are forgotten
        weight.data.zero_()
        optimizer_step((weight * torch.tensor([30.0, 40.0])).sum(), optimizer, 0.1, [weight], 5.0)
        assert torch.allclose(weight, torch.tensor([-0.3, -0.4]), atol=1e-5)
    weight.data.zero_()
    optimizer_step((weight * torch.tensor([0.3, 0.4])).sum(), optimizer, 1.0, [weight], 5.0)
    assert torch.allclose(weight, torch.tensor([-0.3, -0.4]))


def test_a_damaged_checkpoint_is_named(tmp_path):
    run = Run(tmp_path, "toy", 4, save_every=2)
    run.checkpoint.write_bytes(b"cut off")
    with pytest.raises(ValueError, match=f"{run.checkpoint.name} is damaged.*delete it"):
        restore_checkpoint(run, {})
