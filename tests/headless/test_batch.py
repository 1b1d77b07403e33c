"""`visage queue` against stand-in servers: results, refusals, and everything that can be killed."""

import json
import subprocess
import sys
import time

import pytest

pytest.importorskip("aiohttp")
from visage.cli.main import main


def queue(capsys, *words) -> tuple[int, dict]:
    """Exit code and report of `visage queue WORDS --json`."""
    code = main(["queue", *map(str, words), "--json"])
    shown = capsys.readouterr().out
    return code, json.loads(shown) if shown else {}


# Tests that run in the background inherit an ignored Ctrl-C; a user's shell does not ignore it.
QUEUE = """
import signal, sys
from visage.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main())
"""


def start_queue(*words) -> subprocess.Popen:
    command = [sys.executable, "-c", QUEUE, "queue", *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


class TestOneRun:
    def test_fetches_what_was_saved_and_shown_as_text(self, shared, workflow, tmp_path, capsys):
        out = tmp_path / "out"
        code, report = queue(capsys, workflow(), "--server", shared.url, "--out", out)
        assert code == 0
        assert (out / "work_Result.png").read_bytes() == b"made from a cat"
        assert not (out / "work_Look.png").exists()
        assert report["items"][0]["texts"] == {"Report": ["all is well"]}

    def test_previews_on_demand(self, shared, workflow, tmp_path, capsys):
        out = tmp_path / "out"
        queue(capsys, workflow(), "--server", shared.url, "--out", out, "--previews")
        assert (out / "work_Look.png").exists()

    def test_a_local_picture_is_uploaded(self, shared, workflow, tmp_path, capsys):
        dog = tmp_path / "dog.png"
        dog.write_bytes(b"a dog")
        words = ("--set", f"Picture.image={dog}", "--server", shared.url, "--out", tmp_path / "out")
        assert queue(capsys, workflow(), *words)[0] == 0
        assert (tmp_path / "out" / "work_Result.png").read_bytes() == b"made from a dog"

    def test_shows_progress_of_each_node(self, shared, workflow, tmp_path, capsys):
        main(["queue", str(workflow(0.2)), "--server", shared.url, "--out", str(tmp_path / "out")])
        shown = capsys.readouterr()
        assert "work: Work 2/2" in shown.err
        assert "[1/1] work: work_Result.png" in shown.err
        assert shown.out == ""

    def test_a_users_file_is_never_overwritten(self, shared, workflow, tmp_path, capsys):
        out = tmp_path / "out"
        out.mkdir()
        (out / "work_Result.png").write_bytes(b"mine")
        queue(capsys, workflow(), "--server", shared.url, "--out", out)
        assert (out / "work_Result.png").read_bytes() == b"mine"
        assert (out / "work_Result-2.png").read_bytes() == b"made from a cat"


class TestRefusals:
    """Everything that is wrong is named before anything is queued, and the exit code says so."""

    def test_all_that_is_missing_is_named_at_once(self, shared, workflow, tmp_path, capsys):
        before, path = shared.runs(), workflow(seconds=99.0)
        prompt = json.loads(path.read_text())
        prompt["6"] = {"class_type": "Unheard", "inputs": {}, "_meta": {"title": "New"}}
        prompt["2"]["inputs"]["conduct"] = "dance"
        del prompt["3"]["inputs"]["images"]
        path.write_text(json.dumps(prompt))
        assert main(["queue", str(path), "--server", shared.url, "--out", str(tmp_path)]) == 2
        said = capsys.readouterr().err
        assert "New (Unheard): the server does not have this node" in said
        assert "Work (Work): conduct 'dance' is not on the server, which has: work, fail" in said
        assert "Work (Work): seconds 99.0 is outside 0.0 .. 60.0" in said
        assert "Result (SaveImage): images is missing" in said
        assert shared.runs() == before

    @pytest.mark.parametrize(
        ("setting", "said"),
        [
            ("Nobody.image=x", "the workflow has: Look, Picture"),
            ("Work.colour=x", "it has: image, seconds, conduct"),
            ("Work.seconds=soon", 'takes FLOAT, not "soon"'),
            ("Work.image=x", "link of type IMAGE"),
            ("nonsense", "title.input=value"),
        ],
    )
    def test_a_setting_that_fits_nothing(self, shared, workflow, capsys, setting, said):
        assert main(["queue", str(workflow()), "--server", shared.url, "--set", setting]) == 2
        assert said in capsys.readouterr().err

    def test_a_picture_that_is_nowhere(self, shared, workflow, capsys):
        words = ["queue", str(workflow()), "--server", shared.url, "--set", "Picture.image=b.png"]
        assert main(words) == 2
        assert "Picture (LoadImage): image 'b.png' is not on the server" in capsys.readouterr().err

    def test_what_only_the_server_can_judge_is_left_to_it(self, shared, workflow, tmp_path, capsys):
        words = ("--server", shared.url, "--out", tmp_path / "out")
        code, report = queue(capsys, workflow(), "--set", "Picture.image=a/b.png", *words)
        assert code == 1
        assert "Picture (LoadImage): Custom validation failed" in report["items"][0]["error"]

    def test_no_server(self, workflow, capsys):
        assert main(["queue", str(workflow()), "--server", "http://127.0.0.1:9"]) == 2
        assert "no ComfyUI server answers" in capsys.readouterr().err

    def test_a_folder_without_pictures(self, shared, workflow, tmp_path, capsys):
        (tmp_path / "empty").mkdir()
        words = [
            "queue",
            str(workflow()),
            "--server",
            shared.url,
            "--input",
            str(tmp_path / "empty"),
        ]
        assert main(words) == 2
        assert "no pictures" in capsys.readouterr().err

    def test_no_workflow(self, shared, tmp_path, capsys):
        (tmp_path / "list.json").write_text("{}")
        assert main(["queue", str(tmp_path / "list.json"), "--server", shared.url]) == 2
        assert "is no ComfyUI workflow" in capsys.readouterr().err


class TestFailures:
    def test_one_failure_lets_the_others_go_on(self, fake, workflow, pictures, tmp_path, capsys):
        folder, out = pictures(3), tmp_path / "out"
        (folder / "001.png").unlink()
        (folder / "001.png").symlink_to(folder / "000.png")
        path = workflow()
        words = ("--input", folder, "--server", fake.url, "--out", out)
        code, report = queue(capsys, path, *words)
        assert (code, report["done"]) == (0, 3)
        code, report = queue(capsys, workflow(conduct="fail"), *words)
        assert (code, report["failed"]) == (1, 3)
        assert report["items"][0]["error"] == "Work (Work): no face"

    def test_a_failed_item_is_tried_again_by_the_next_run(self, fake, workflow, tmp_path, capsys):
        words = (workflow(conduct="fail"), "--server", fake.url, "--out", tmp_path / "out")
        queue(capsys, *words)
        queue(capsys, *words)
        assert len(fake.runs()) == 2

    def test_an_item_that_takes_too_long_is_interrupted(self, fake, workflow, tmp_path, capsys):
        words = (workflow(20.0), "--server", fake.url, "--out", tmp_path / "out")
        start = time.monotonic()
        code, report = queue(capsys, *words, "--timeout", "1")
        assert code == 1
        assert "did not end within 1 s" in report["items"][0]["error"]
        assert time.monotonic() - start < 10

    @pytest.mark.parametrize("conduct", ["drop the socket", "say nothing"])
    def test_without_messages_the_history_tells(self, fake, workflow, tmp_path, capsys, conduct):
        words = (workflow(0.5, conduct), "--server", fake.url, "--out", tmp_path / "out")
        assert queue(capsys, *words)[0] == 0

    def test_a_server_that_always_errs_is_not_asked_for_ever(
        self, fake, workflow, tmp_path, capsys
    ):
        words = (workflow(0.0, "answer 500"), "--server", fake.url, "--out", tmp_path / "out")
        code, report = queue(capsys, *words)
        assert code == 1
        assert "500" in report["items"][0]["error"]

    def test_a_server_that_dies_and_stays_away(self, fake, workflow, tmp_path, capsys):
        words = (workflow(0.0, "die"), "--server", fake.url, "--out", tmp_path / "out")
        code, report = queue(capsys, *words, "--patience", "2")
        assert code == 1
        assert report["items"][0]["error"] == "no server was left to run it"


class TestKilled:
    def test_the_client(self, fake, workflow, pictures, tmp_path, capsys):
        out = tmp_path / "out"
        words = (workflow(0.4), "--input", pictures(6), "--server", fake.url, "--out", out)
        client = start_queue(*words)
        wait_for(lambda: len(list(out.glob("*.png"))) >= 2)
        client.kill()
        client.wait()
        kept = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
        code, report = queue(capsys, *words)
        assert (code, report["done"]) == (0, 6)
        assert report["skipped"] >= len(kept) - 1
        assert len(list(out.glob("*.png"))) == 6
        assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
        # What the server had begun was awaited, not queued again.
        assert sorted(fake.runs()) == [f"visage/{number:03}.png" for number in range(6)]
        assert not list(out.glob(".*"))

    def test_the_client_with_everything_done_runs_nothing(self, fake, workflow, tmp_path, capsys):
        words = (workflow(), "--server", fake.url, "--out", tmp_path / "out")
        queue(capsys, *words)
        code, report = queue(capsys, *words)
        assert (code, report["skipped"], len(fake.runs())) == (0, 1, 1)
        (tmp_path / "out" / "work_Result.png").unlink()
        queue(capsys, *words)
        assert len(fake.runs()) == 2

    def test_another_picture_or_setting_is_another_run(self, fake, workflow, tmp_path, capsys):
        words = (workflow(), "--server", fake.url, "--out", tmp_path / "out")
        queue(capsys, *words)
        (tmp_path / "cat.png").write_bytes(b"another cat")
        queue(capsys, *words)
        queue(capsys, *words, "--set", "Work.seconds=0.1")
        assert len(fake.runs()) == 3

    def test_a_manifest_cut_off_in_the_middle(self, fake, workflow, tmp_path, capsys):
        out = tmp_path / "out"
        words = (workflow(), "--server", fake.url, "--out", out)
        queue(capsys, *words)
        manifest = out / "visage-queue.jsonl"
        with manifest.open("ab") as file:
            file.write(b'{"item": "wo')
        assert queue(capsys, *words)[1]["skipped"] == 1
        assert b'{"item": "wo\n' not in manifest.read_bytes()

    def test_the_server(self, fake, workflow, pictures, tmp_path):
        out = tmp_path / "out"
        words = (workflow(0.4), "--input", pictures(5), "--server", fake.url, "--out", out)
        client = start_queue(*words)
        wait_for(lambda: len(fake.runs()) == 2)
        fake.kill()
        fake.start()
        assert client.wait(timeout=60) == 0
        assert "trying again" in client.stderr.read()
        assert len(list(out.glob("*_Result.png"))) == 5
        # Only what was on the server when it died was run twice at most.
        assert len(fake.runs()) <= 7

    def test_a_workflow_that_kills_its_server_is_given_up(self, fake, workflow, tmp_path):
        out = tmp_path / "out"
        client = start_queue(workflow(0.0, "die"), "--server", fake.url, "--out", out)
        for _ in range(3):
            fake.process.wait(timeout=30)
            fake.start()
        assert client.wait(timeout=60) == 1
        assert "took its server down" in client.stderr.read()
        assert len(fake.runs()) == 3

    def test_ctrl_c_takes_the_rest_off_the_queue(self, fake, workflow, pictures, tmp_path, capsys):
        import signal

        out = tmp_path / "out"
        words = (workflow(1.0), "--input", pictures(4), "--server", fake.url, "--out", out)
        client = start_queue(*words)
        wait_for(lambda: len(fake.runs()) == 2)
        client.send_signal(signal.SIGINT)
        assert client.wait(timeout=30) == 130
        from visage.headless.client import ComfyServer

        left = ComfyServer(fake.url).get("/queue")
        assert left["queue_pending"] == []
        assert queue(capsys, *words)[0] == 0


class TestManyServers:
    def test_both_are_kept_busy(self, start_fake, workflow, pictures, tmp_path, capsys):
        servers = [start_fake(), start_fake()]
        urls = [fake.url for fake in servers]
        out = tmp_path / "out"
        words = (workflow(0.02), "--input", pictures(60), "--server", *urls, "--out", out)
        code, report = queue(capsys, *words)
        assert (code, report["done"]) == (0, 60)
        shares = [len(fake.runs()) for fake in servers]
        assert sum(shares) == 60
        assert min(shares) > 15

    def test_the_other_takes_over_from_one_that_dies(
        self, start_fake, workflow, pictures, tmp_path
    ):
        first, second = start_fake(), start_fake()
        out = tmp_path / "out"
        words = ("--server", first.url, second.url, "--out", out, "--patience", "1")
        client = start_queue(workflow(0.3), "--input", pictures(8), *words)
        wait_for(lambda: len(first.runs()) == 2)
        first.kill()
        assert client.wait(timeout=60) == 0
        assert len(list(out.glob("*_Result.png"))) == 8

    def test_one_that_never_answered_is_left_out(self, fake, workflow, tmp_path, capsys):
        urls = ("http://127.0.0.1:9", fake.url)
        words = (workflow(), "--server", *urls, "--out", tmp_path / "out")
        assert queue(capsys, *words)[0] == 0


class TestFolders:
    def test_folders_below_are_kept_apart_and_results_are_no_input(
        self, shared, workflow, tmp_path, capsys
    ):
        folder = tmp_path / "pictures"
        for name in ("a/1.png", "b/1.png", ".hidden/1.png", "b/notes.txt"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(name.encode())
        out = folder / "out"
        words = (workflow(), "--input", folder, "--server", shared.url, "--out", out)
        queue(capsys, *words)
        made = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*.png")}
        assert made == {
            "a/1_Result.png": b"made from a/1.png",
            "b/1_Result.png": b"made from b/1.png",
        }
        assert queue(capsys, *words)[1]["skipped"] == 2

    def test_two_pictures_of_one_name(self, shared, workflow, tmp_path, capsys):
        folder = tmp_path / "pictures"
        folder.mkdir()
        (folder / "1.png").write_bytes(b"png")
        (folder / "1.jpg").write_bytes(b"jpg")
        words = (workflow(), "--input", folder, "--server", shared.url, "--out", tmp_path / "out")
        assert queue(capsys, *words)[1]["done"] == 2
        assert len(list((tmp_path / "out").glob("*.png"))) == 2
