"""Entry of the `visage` command: parses arguments, runs one sub-command, reports errors briefly."""

import argparse
import importlib
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread

# Each name is a module of this folder, imported only when its command is used.
COMMANDS = {
    "demo": "edit faces in three pictures, end to end, and prove that the background is untouched",
    "queue": "run a workflow on ComfyUI servers, once or for every picture of a folder",
    "batch": "run a workflow for very many pictures, on this machine or a Ray cluster",
    "verify": "check what an edited picture claims about itself",
    "tradeoff": "sweep a workflow's settings and draw how much style costs how much of the person",
    "doctor": "check this machine: packages, device, ComfyUI, model files",
    "locales": "write the nodes' texts for ComfyUI's interface",
    "workflows": "build the shipped workflows from their descriptions",
    "bench": "run a benchmark and print its figures",
    "data": "draw training pictures with exact label maps and captions",
    "train": "train or fine-tune models",
    "evaluate": "measure models on held-out pictures",
}


# Modules whose package has a different name.
PACKAGES = {"cv2": "opencv-python-headless", "PIL": "pillow", "skimage": "scikit-image"}


def build_parser(argv: list[str]) -> argparse.ArgumentParser:
    """The parser for `argv`; only the named sub-command's module is imported, so help is quick."""
    parser = argparse.ArgumentParser(
        prog="visage",
        description="Change the style of a picture and keep the person in it.",
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    named = next((word for word in argv if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        if name == named:
            module = importlib.import_module(f".{name}", __package__)
            getattr(module, f"add_{name}_command")(subparsers)
            added = subparsers.choices[name]
            added.description = added.description or f"{summary[0].upper()}{summary[1:]}."
        else:
            subparsers.add_parser(name, help=summary)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code (2 for bad input, 130 when interrupted).

    A SIGTERM ends it by SystemExit(143), so that private servers and temporary folders go with it.
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        options = build_parser(argv).parse_args(argv)
        with _ended_by_sigterm():
            return options.run(options) or 0
    except (ValueError, OSError, ModuleNotFoundError) as error:
        if _is_ours(error):
            raise
        print(f"visage: {_in_words(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("visage: stopped", file=sys.stderr)
        return 130


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Within, a SIGTERM raises SystemExit; Python itself would end at once and clean up nothing."""
    if current_thread() is not main_thread():  # the only one that may handle signals
        yield
        return

    def end(number: int, _frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would stop the cleaning up
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _is_ours(error: Exception) -> bool:
    """Whether a module of Visage itself is missing, which a user cannot install."""
    return isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("visage")


def _in_words(error: Exception) -> str:
    """One line that says what is wrong and what to do."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = PACKAGES.get(error.name.partition(".")[0], error.name)
        return (
            f"this needs the Python package {package}, which {sys.executable} does not have: "
            f"`{sys.executable} -m pip install {package}`; `visage doctor` looks for all of them"
        )
    if not isinstance(error, OSError) or not error.filename:
        return str(error)
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return f"{error.filename} is a file where a folder is needed. Name another place"
    if isinstance(error, IsADirectoryError):
        return f"{error.filename} is a folder where a file is needed. Name another place"
    return f"{error.filename}: {error.strerror}"


if __name__ == "__main__":
    sys.exit(main())
