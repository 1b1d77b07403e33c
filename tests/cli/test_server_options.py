"""The workflow and its servers, in whatever order they are written."""

import argparse
from pathlib import Path

import pytest
from visage.cli.server_options import server_options

A, B = "http://127.0.0.1:8188", "http://127.0.0.1:8189"


def parse(*words: str) -> tuple[Path, list[str] | None]:
    """The workflow and the servers of a command line."""
    parser = argparse.ArgumentParser(parents=[server_options("out")])
    options = parser.parse_args(words)
    return options.workflow, options.server


@pytest.mark.parametrize(
    ("words", "servers"),
    [
        (["work.json"], None),
        (["work.json", "--server", A], [A]),
        (["work.json", "--server", A, B], [A, B]),
        (["work.json", "--server", A, "--out", "x", f"--server={B}"], [A, B]),
        (["--server", A, "work.json"], [A]),
        (["--server", A, B, "work.json"], [A, B]),
        (["--server", A, "work.json", "--server", B], [A, B]),
        (["--server", A, "--out", "x", "work.json"], [A]),
        (["--server", f"{A}/behind.json", "work.json"], [f"{A}/behind.json"]),
    ],
)
def test_the_workflow_may_stand_before_the_servers_or_behind_them(words, servers):
    assert parse(*words) == (Path("work.json"), servers)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--server", A], "the following arguments are required: workflow"),
        (["--server", "work.json"], "work.json is no server; write http://"),
        (["one.json", "--server", A, "two.json"], "one.json and two.json: one workflow"),
        (["--server", A, "one.json", "--out", "x", "two.json"], "one.json and two.json: one"),
    ],
)
def test_a_workflow_too_few_or_too_many_is_said(capsys, words, said):
    with pytest.raises(SystemExit) as ended:
        parse(*words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
