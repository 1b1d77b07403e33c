"""Entry of the `visage` command: parses arguments, runs one sub-command, reports errors briefly."""

import argparse
import importlib
import sys

# Each name is a module beside this one, imported only when its command is used.
COMMANDS = {
    "demo": "edit a face in two pictures, end to end, and prove that the background is untouched",
    "queue": "run a workflow on ComfyUI servers, once or for every picture of a folder",
    "tradeoff": "sweep a workflow's settings and draw how much style costs how much of the person",
    "doctor": "check this machine: packages, device, ComfyUI, model files",
    "locales": "write the nodes' texts for ComfyUI's interface",
    "bench": "run a benchmark and print its figures",
    "data": "draw training pictures with exact label maps and captions",
    "train": "train or fine-tune models",
    "evaluate": "measure models on held-out pictures",
}


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
        else:
            subparsers.add_parser(name, help=summary)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 for bad input, 130 when interrupted)."""
    argv = sys.argv[1:] if argv is None else argv
    options = build_parser(argv).parse_args(argv)
    try:
        return options.run(options) or 0
    except (ValueError, FileNotFoundError) as error:
        print(f"visage: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("visage: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
