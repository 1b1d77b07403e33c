"""What the canvas hears of a training while it runs."""

import sys
from types import SimpleNamespace

import pytest


@pytest.fixture
def module(comfy_nodes):
    from visage.nodes import loss_report

    return loss_report


@pytest.fixture
def heard(module, monkeypatch):
    """The messages to the canvas `browser`."""
    messages = []
    canvas = SimpleNamespace(
        client_id="browser", send_sync=lambda *message: messages.append(message)
    )
    server = SimpleNamespace(PromptServer=SimpleNamespace(instance=canvas))
    monkeypatch.setitem(sys.modules, "server", server)
    return messages


def node(node_id):
    return SimpleNamespace(hidden=SimpleNamespace(unique_id=node_id))


def test_says_which_node_how_far_and_the_losses(module, heard):
    module.LossReport(node("3:7"), 10).send([0.5, 0.25])
    data = {"node": "3:7", "steps": 10, "points": [[1, 0.5], [2, 0.25]]}
    assert heard == [("visage.loss", data, "browser")]


def test_is_not_said_at_every_step_but_at_the_last(module, heard):
    report = module.LossReport(node("1"), 50)
    for step in range(1, 51):
        report.send([1.0] * step)
    assert len(heard) < 10
    assert heard[-1][1]["points"][-1] == [50, 1.0]


def test_nobody_is_told_outside_a_queue(module, heard):
    module.LossReport(SimpleNamespace(hidden=None), 1).send([1.0])
    assert heard == []


def test_a_long_run_is_thinned_to_means(module):
    losses = [float(step % 2) for step in range(12_000)]
    curve = module.loss_curve(losses, 12_500)
    assert len(curve["points"]) == module.MOST_POINTS
    assert {loss for _, loss in curve["points"]} == {0.5}
    assert curve["points"][0][0] == 25.5 and curve["points"][-1][0] == 12_000 - 24.5


def test_nothing_yet_is_an_empty_curve(module):
    assert module.loss_curve([], 5) == {"steps": 5, "points": []}
