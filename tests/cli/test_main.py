"""The command line: quick help, errors in one line, exit codes."""

import argparse
import json
import os
import signal
import sys
import time
import types

import pytest
from visage.cli import bench, main


@pytest.fixture
def command(monkeypatch):
    """Make `visage demo` run the given function."""

    def install(run):
        def add_demo_command(subparsers):
            subparsers.add_parser("demo").set_defaults(run=run)

        module = types.ModuleType("visage.cli.demo")
        module.add_demo_command = add_demo_command
        monkeypatch.setitem(sys.modules, "visage.cli.demo", module)

    return install


def test_help_names_every_command_without_importing_any(capsys, monkeypatch):
    monkeypatch.setattr(main.importlib, "import_module", lambda *_: pytest.fail("imported"))
    with pytest.raises(SystemExit) as end:
        main.main(["--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("demo", "bench", "data", "train"))


@pytest.mark.parametrize("name", sorted(main.COMMANDS))
def test_the_help_of_every_command_says_what_it_does(capsys, name):
    with pytest.raises(SystemExit):
        main.main([name, "--help"])
    usage, _, rest = capsys.readouterr().out.partition("\n\n")
    assert usage.startswith(f"usage: visage {name}")
    assert rest.split("\n\n")[0].endswith(".")


def test_success_is_exit_code_zero(command):
    command(lambda options: None)
    assert main.main(["demo"]) == 0


@pytest.mark.parametrize("kind", [ValueError, FileNotFoundError])
def test_bad_input_is_one_line_and_exit_code_two(command, capsys, kind):
    def fail(options):
        raise kind("no such picture: cat.png")

    command(fail)
    assert main.main(["demo"]) == 2
    assert capsys.readouterr().err == "visage: no such picture: cat.png\n"


def test_programming_errors_keep_their_traceback(command):
    def fail(options):
        raise KeyError("bug")

    command(fail)
    with pytest.raises(KeyError):
        main.main(["demo"])


def test_interrupt_is_exit_code_130(command):
    def interrupt(options):
        raise KeyboardInterrupt

    command(interrupt)
    assert main.main(["demo"]) == 130


def test_sigterm_cleans_up_and_is_exit_code_143(command):
    cleaned = []

    def wait(options):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            cleaned.append(True)

    command(wait)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        main.main(["demo"])
    assert ended.value.code == 143
    assert cleaned == [True]
    assert signal.getsignal(signal.SIGTERM) is before


def test_bench_prints_only_figures_on_stdout(capsys, monkeypatch):
    def run(quick):
        sys.stdout.write("a library talks")
        return {"ratio": 1.5, "quick": float(quick)}

    module = types.ModuleType("visage.benchmarks.face_edit")
    module.run = run
    monkeypatch.setitem(sys.modules, "visage.benchmarks.face_edit", module)
    assert main.main(["bench", "face-edit", "--quick", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"ratio": 1.5, "quick": 1.0}
    assert "a library talks" in shown.err


def test_bench_knows_its_names(capsys):
    assert "face-edit" in bench.benchmark_names()
    parser = argparse.ArgumentParser()
    bench.add_bench_command(parser.add_subparsers())
    with pytest.raises(SystemExit) as end:
        parser.parse_args(["bench", "nothing"])
    assert end.value.code == 2
    assert "face-edit" in capsys.readouterr().err
