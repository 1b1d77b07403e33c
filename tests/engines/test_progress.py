"""What the canvas hears of a node while it runs, and how the user ends it."""

import sys
from types import SimpleNamespace

import pytest
import torch


@pytest.fixture
def module(comfy):
    from visage.engines.comfyui import loss_report

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


def test_says_which_node_how_far_and_the_losses(module, heard):
    module.LossReport("3:7", 10).send([0.5, 0.25])
    data = {"node": "3:7", "steps": 10, "points": [[1, 0.5], [2, 0.25]]}
    assert heard == [("visage.loss", data, "browser")]


def test_is_not_said_at_every_step_but_at_the_last(module, heard):
    report = module.LossReport("1", 50)
    for step in range(1, 51):
        report.send([1.0] * step)
    assert len(heard) < 10
    assert heard[-1][1]["points"][-1] == [50, 1.0]


def test_nobody_is_told_outside_a_queue(module, heard):
    module.LossReport(None, 1).send([1.0])
    assert heard == []


def test_a_long_run_is_thinned_to_means(module):
    losses = [float(step % 2) for step in range(12_000)]
    curve = module.loss_curve(losses, 12_500)
    assert len(curve["points"]) == module.MAX_POINTS
    assert {loss for _, loss in curve["points"]} == {0.5}
    assert curve["points"][0][0] == 25.5 and curve["points"][-1][0] == 12_000 - 24.5


def test_nothing_yet_is_an_empty_curve(module):
    assert module.loss_curve([], 5) == {"steps": 5, "points": []}


@pytest.fixture
def progress(comfy):
    from visage.engines.comfyui import progress

    yield progress
    comfy.model_management.interrupt_current_processing(False)


@pytest.fixture
def bars(progress, monkeypatch):
    """What each bar was told."""
    told = []
    monkeypatch.setattr(
        progress.comfy.utils.ProgressBar,
        "update_absolute",
        lambda bar, done, total=None, preview=None: told.append((done, total, preview)),
    )
    return told


def test_the_bar_shows_how_far_and_a_small_picture(progress, bars):
    shown = progress.Progress()
    shown(1, 4)
    shown(2, 4, torch.ones(600, 1200, 4) * 2)
    (first, second) = bars
    assert first == (1, 4, None)
    kind, picture, size = second[2]
    assert (kind, picture.size, picture.getpixel((0, 0)), size) == (
        "JPEG", (512, 256), (255, 255, 255), None,
    )  # fmt: skip


def test_an_interrupt_ends_the_run(progress, bars):
    progress.comfy.model_management.interrupt_current_processing(True)
    with pytest.raises(progress.comfy.model_management.InterruptProcessingException):
        progress.Progress()(1, 4)
    assert bars == []


def test_an_interrupt_ends_one_node_that_keeps_its_result(progress):
    assert not progress.ended_by_user()
    progress.comfy.model_management.interrupt_current_processing(True)
    assert progress.ended_by_user()
    assert not progress.ended_by_user()


def test_the_bar_of_a_server_does_not_end_a_node_that_keeps_its_result(progress, monkeypatch):
    """A server's bar looks for the interrupt itself: `hook` in ComfyUI's main.py."""

    def hook(done, total, preview, node_id=None):
        progress.comfy.model_management.throw_exception_if_processing_interrupted()

    monkeypatch.setattr(progress.comfy.utils, "PROGRESS_BAR_HOOK", hook)
    shown = progress.LearningProgress(None, 4)
    shown.add(0.5, 1, 4)
    assert not progress.ended_by_user()
    progress.comfy.model_management.interrupt_current_processing(True)
    shown.add(0.25, 2, 4)
    assert progress.ended_by_user()
    assert shown.losses == [0.5, 0.25]


def test_losses_go_to_the_curve_and_steps_to_the_bar(progress, bars, heard):
    shown = progress.LearningProgress("3", 1)
    shown.add(0.5, 1, 2)
    shown.add(0.25, 2, 2)
    assert [told[:2] for told in bars] == [(1, 2), (2, 2)]
    assert heard[-1][1]["points"] == [[1, 0.5], [2, 0.25]]
    assert shown.ui() == {"loss_curve": [{"steps": 2, "points": [[1, 0.5], [2, 0.25]]}]}


@pytest.mark.parametrize("losses", [[], [0.5], [0.25, 0.25], [0.0], [0.5, 0.25]])
def test_comfyuis_graph_draws_every_map_of_losses(comfy, progress, losses, monkeypatch, tmp_path):
    from comfy_extras.nodes_train import LossGraphNode

    shown = progress.loss_map(losses)
    assert shown["loss"][: len(losses)] == losses
    assert len(losses) < 2 or losses[0] == losses[1] or shown["loss"] == losses
    graph = LossGraphNode()
    monkeypatch.setattr(graph, "output_dir", str(tmp_path))
    graph.plot_loss(shown, "loss")
    assert list(tmp_path.iterdir())


def test_the_stages_of_the_running_node_are_told(comfy, heard):
    from comfy_execution.utils import CurrentNodeContext
    from visage.engines.comfyui.stages import tell_stages

    tell_stages([("inverting", 50)])
    assert heard == [], "nothing runs"
    with CurrentNodeContext("prompt", "5:3"):
        tell_stages([("inverting", 50), ("painting", 20)])
    stages = [("inverting", 50), ("painting", 20)]
    assert heard == [("visage.stages", {"node": "5:3", "stages": stages}, "browser")]
