"""What stands in the way of a cluster is said in a line."""

import io
import subprocess
import sys

import pytest
from visage.batch.cluster import ray_cluster, require_ray
from visage.cli.main import main


def test_without_ray_it_says_how_to_get_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install -e '\.\[scale\]'"):
        require_ray()
    assert main(["batch", "w.json", "in", "--out", str(tmp_path / "out")]) == 2
    assert "visage: this needs Ray Data" in capsys.readouterr().err


def test_ray_client_is_refused():
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[scale]'")
    # In a process of its own: this one may be connected.
    assert in_own_process("ray://127.0.0.1:1").startswith(
        "ray://127.0.0.1:1 is Ray Client's: start"
    )


def test_a_wrong_address_is_named():
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[scale]'")
    assert in_own_process("127.0.0.1:9").startswith("no Ray cluster answers at 127.0.0.1:9: is it")


@pytest.mark.parametrize("said", ["Version mismatch: The cluster was started with: Python 3.9"])
def test_other_versions_are_named(said, monkeypatch):
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[scale]'")

    def refuse(**_):
        raise RuntimeError(said)

    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr("socket.create_connection", lambda *_, **__: io.BytesIO())
    with pytest.raises(ValueError, match="has another Ray or Python than this machine"):
        with ray_cluster("127.0.0.1:6379"):
            pass


def in_own_process(address: str) -> str:
    """What connecting to an address says, cut off after its first words."""
    code = (
        "from visage.batch.cluster import ray_cluster\n"
        "try:\n"
        f"    with ray_cluster({address!r}): pass\n"
        "except ValueError as error: print(str(error)[:99])\n"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=280
    )
    return done.stdout.strip()
