"""`visage queue` against stand-in servers: results, refusals, and everything that can be killed."""

import json
import os
import subprocess
import sys
import time
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("aiohttp")
from visage.cli.main import main
from visage.headless import manifest
from visage.headless.batch import Item, _key
from visage.headless.client import ComfyServer
from visage.headless.manifest import Entry, shows_nobody
from visage.headless.pictures import as_uploaded
from visage.models.picture_folder import pictures_in


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


def end_of(client: subprocess.Popen) -> tuple[int, str]:
    """Wait for a client; returns its exit status and what it said."""
    _, said = client.communicate(timeout=60)
    return client.returncode, said


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

    def test_the_workflow_may_follow_the_servers(self, shared, workflow, tmp_path, capsys):
        out = tmp_path / "out"
        assert queue(capsys, "--out", out, "--server", shared.url, workflow())[0] == 0
        assert (out / "work_Result.png").exists()

    def test_previews_on_demand(self, shared, workflow, tmp_path, capsys):
        out = tmp_path / "out"
        queue(capsys, workflow(), "--server", shared.url, "--out", out, "--previews")
        assert (out / "work_Look.png").exists()

    def test_previews_are_fetched_by_a_later_run_as_well(self, fake, workflow, tmp_path, capsys):
        words = (workflow(), "--server", fake.url, "--out", tmp_path / "out")
        queue(capsys, *words)
        code, report = queue(capsys, *words, "--previews")
        assert (code, report["skipped"]) == (0, 0)
        made = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
        assert made == ["work_Look.png", "work_Result.png"]
        for more in ((), ("--previews",)):
            assert queue(capsys, *words, *more)[1]["skipped"] == 1

    def test_manifests_of_runs_without_previews_stay_valid(self):
        """Their keys were made when previews had no part in them."""
        old = "5b071316b6e7c9b36054083f20013557"
        assert _key({"1": {}}, Item("a"), previews=False) == old
        assert _key({"1": {}}, Item("a"), previews=True) != old

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
        said = capsys.readouterr().err
        assert "no ComfyUI server answers: http://127.0.0.1:9 does not answer" in said
        assert "lost" not in said

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--set", "Nobody.image=x"], '0 nodes are titled "Nobody"; the workflow has: Look'),
            (["--set", "nonsense"], "title.input=value"),
            (["--into", "Nobody", "--input", "."], '0 nodes are titled "Nobody"'),
            (["--input", "gone"], "There is no picture and no folder gone"),
            (["--input", "work.json"], "work.json is no picture"),
        ],
    )
    def test_what_is_wrong_whatever_the_server_says_comes_first(
        self, workflow, capsys, monkeypatch, words, said
    ):
        path = workflow()
        monkeypatch.chdir(path.parent)
        assert main(["queue", path.name, "--server", "http://127.0.0.1:9", *words]) == 2
        assert said in capsys.readouterr().err

    @pytest.mark.parametrize("name", ["face_edit", "workflows/face_edti.json"])
    def test_a_workflow_that_was_probably_meant_is_named(self, capsys, name):
        assert main(["queue", name, "--server", "http://127.0.0.1:9"]) == 2
        said = capsys.readouterr().err
        assert f"There is no workflow at {name}. Did you mean " in said
        assert said.strip().endswith("workflows/face_edit.json?")

    def test_a_workflow_of_another_name_gets_the_shipped_ones(self, capsys):
        assert main(["queue", "zzz.json", "--server", "http://127.0.0.1:9"]) == 2
        said = capsys.readouterr().err
        assert " has: " in said and " face_edit, face_edit_" in said

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


@pytest.mark.slow
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

    def test_an_answer_that_is_no_json_fails_its_item_alone(
        self, shared, workflow, pictures, tmp_path, capsys
    ):
        words = (workflow(0.0, "answer a page"), "--server", shared.url, "--out", tmp_path / "out")
        code, report = queue(capsys, *words, "--input", pictures(3))
        assert (code, report["failed"]) == (1, 3)
        said = f"{shared.url}/prompt answered no JSON: is it ComfyUI?"
        assert {item["error"] for item in report["items"]} == {said}

    def test_what_cannot_be_noted_is_not_announced_and_ends_the_batch(
        self, fake, workflow, pictures, tmp_path, capsys, monkeypatch
    ):
        out, notes = tmp_path / "out", []

        def has_room_for_two(_) -> None:
            notes.append(1)
            if len(notes) > 2:  # both pictures are queued by then
                raise OSError(28, "No space left on device")

        disk = SimpleNamespace(fsync=has_room_for_two, truncate=os.truncate)
        words = [workflow(0.4), "--input", pictures(2), "--server", fake.url, "--out", out]
        with monkeypatch.context() as full:
            full.setattr(manifest, "os", disk)
            assert main(["queue", *map(str, words)]) == 2
        said = capsys.readouterr().err
        state = out / "visage-queue.jsonl"
        reason = "the batch cannot note its state here: No space left on device"
        assert said.endswith(f"\nvisage: {state}: {reason}\n")
        assert "[1/2]" not in said and "FAILED" not in said and "Traceback" not in said
        assert len(state.read_text().splitlines()) == 2
        # What the server had is awaited, not run again.
        code, report = queue(capsys, *words)
        assert (code, report["done"], len(fake.runs())) == (0, 2, 2)

    def test_a_server_that_always_errs_is_not_asked_for_ever(
        self, fake, workflow, tmp_path, capsys
    ):
        words = (workflow(0.0, "answer 500"), "--server", fake.url, "--out", tmp_path / "out")
        code, report = queue(capsys, *words)
        assert code == 1
        assert "500" in report["items"][0]["error"]

    def test_a_workflow_that_is_taken_in_part_is_withdrawn_and_named(
        self, fake, workflow, tmp_path, capsys
    ):
        """ComfyUI answers as if all were well, and would run the other branches."""
        words = (workflow(0.0, "take a part"), "--server", fake.url, "--out", tmp_path / "out")
        code, report = queue(capsys, *words)
        assert code == 1
        assert "Required input is missing bypass" in report["items"][0]["error"]
        assert ComfyServer(fake.url).get("/queue")["queue_pending"] == []
        assert not list((tmp_path / "out").glob("*.png"))

    def test_a_server_that_dies_and_stays_away(self, fake, workflow, tmp_path, capsys):
        words = (workflow(0.0, "die"), "--server", fake.url, "--out", tmp_path / "out")
        code, report = queue(capsys, *words, "--patience", "2")
        assert code == 1
        assert report["items"][0]["error"] == "no server was left to run it"


@pytest.mark.slow
class TestKilled:
    def test_the_client(self, fake, workflow, pictures, tmp_path, capsys):
        out = tmp_path / "out"
        words = (workflow(0.4), "--input", pictures(6), "--server", fake.url, "--out", out)
        client = start_queue(*words)
        wait_for(lambda: len(list(out.glob("*.png"))) >= 2)
        client.kill()
        end_of(client)
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
        code, said = end_of(client)
        assert code == 0
        assert "trying again" in said
        assert len(list(out.glob("*_Result.png"))) == 5
        # Only what was on the server when it died was run twice at most.
        assert len(fake.runs()) <= 7

    def test_a_workflow_that_kills_its_server_is_given_up(self, fake, workflow, tmp_path):
        out = tmp_path / "out"
        client = start_queue(workflow(0.0, "die"), "--server", fake.url, "--out", out)
        for _ in range(3):
            fake.process.wait(timeout=30)
            fake.start()
        code, said = end_of(client)
        assert code == 1
        assert "its server was lost again" in said
        assert len(fake.runs()) == 3

    def test_ctrl_c_takes_the_rest_off_the_queue(self, fake, workflow, pictures, tmp_path, capsys):
        import signal

        out = tmp_path / "out"
        words = (workflow(1.0), "--input", pictures(4), "--server", fake.url, "--out", out)
        client = start_queue(*words)
        wait_for(lambda: len(fake.runs()) == 2)
        client.send_signal(signal.SIGINT)
        assert end_of(client)[0] == 130
        from visage.headless.client import ComfyServer

        left = ComfyServer(fake.url).get("/queue")
        assert left["queue_pending"] == []
        assert queue(capsys, *words)[0] == 0


@pytest.mark.slow
class TestManyServers:
    def test_both_are_kept_busy(self, start_fake, workflow, pictures, tmp_path, capsys):
        servers = [start_fake(), start_fake()]
        urls = [fake.url for fake in servers]
        out = tmp_path / "out"
        words = (workflow(0.02), "--input", pictures(60), "--server", *urls, "--out", out)
        code, report = queue(capsys, *words)
        assert (code, report["done"]) == (0, 60)
        runs = [len(fake.runs()) for fake in servers]
        assert sum(runs) == 60
        assert min(runs) > 15

    def test_the_other_takes_over_from_one_that_dies(
        self, start_fake, workflow, pictures, tmp_path
    ):
        first, second = start_fake(), start_fake()
        out = tmp_path / "out"
        words = ("--server", first.url, second.url, "--out", out, "--patience", "1")
        client = start_queue(workflow(0.3), "--input", pictures(8), *words)
        wait_for(lambda: len(first.runs()) == 2)
        first.kill()
        assert end_of(client)[0] == 0
        assert len(list(out.glob("*_Result.png"))) == 8

    def test_one_that_never_answered_is_left_out(self, fake, workflow, tmp_path, capsys):
        urls = ("http://127.0.0.1:9", fake.url)
        words = (workflow(), "--server", *urls, "--out", tmp_path / "out")
        assert queue(capsys, *words)[0] == 0


class TestFaces:
    """A picture without a face comes back as it was, which is said and with --strict a failure."""

    def test_it_is_said(self, fake, workflow, tmp_path, capsys):
        words = ["queue", str(workflow(conduct="see nobody")), "--server", fake.url]
        assert main([*words, "--out", str(tmp_path / "out")]) == 0
        said = capsys.readouterr().err
        assert "Work: No face found in picture 1 of 1." in said
        assert "no face found in 1: work" in said

    def test_it_is_a_failure_when_asked_for(self, fake, workflow, tmp_path, capsys):
        words = (workflow(conduct="see nobody"), "--server", fake.url, "--out", tmp_path / "out")
        code, report = queue(capsys, *words, "--strict")
        assert code == 1
        assert (report["done"], report["failed"], report["no_face"]) == (0, 1, 1)
        assert (tmp_path / "out" / "work_Result.png").read_bytes() == b"made from a cat"
        assert queue(capsys, *words, "--strict")[0] == 1  # from the manifest, without a run
        assert len(fake.runs()) == 1

    def test_others_are_not_accused(self, fake, workflow, tmp_path, capsys):
        words = (workflow(), "--server", fake.url, "--out", tmp_path / "out", "--strict")
        code, report = queue(capsys, *words)
        assert (code, report["no_face"]) == (0, 0)

    @pytest.mark.parametrize(
        ("text", "nobody"),
        [
            ('{"mask_share": 0.0, "outside_max_abs_diff": 0.0}', True),
            ('{"mask_share": 0.1, "outside_max_abs_diff": 0.0}', False),
            ("picture 1: no face found", True),
            ("all is well", False),
        ],
    )
    def test_reports_say_it_too(self, text, nobody):
        assert shows_nobody(Entry("a", "k", "done", texts={"Report": [text]})) is nobody


@pytest.mark.slow
def test_the_seconds_of_an_item_are_those_of_its_run(fake, workflow, pictures, tmp_path, capsys):
    words = (workflow(seconds=1.0), "--input", pictures(3), "--server", fake.url)
    report = queue(capsys, *words, "--out", tmp_path / "out")[1]
    assert all(0.9 < item["seconds"] < 1.9 for item in report["items"])


class TestFolders:
    def test_one_picture(self, shared, workflow, pictures, tmp_path, capsys):
        words = (workflow(), "--server", shared.url, "--out", tmp_path / "out")
        queue(capsys, *words, "--input", pictures(2) / "001.png")
        assert [path.name for path in (tmp_path / "out").glob("*.png")] == ["001_Result.png"]

    @pytest.mark.parametrize("depth", [np.uint16, np.float32])
    def test_deep_pictures_go_to_the_server_in_8_bits(self, tmp_path, depth):
        ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
        white = 257 if depth is np.uint16 else 1 / 255
        Image.fromarray(ramp.astype(depth) * depth(white)).save(tmp_path / "deep.tif")
        data, name = as_uploaded(tmp_path / "deep.tif")
        assert name == "deep.png"
        assert np.array_equal(np.asarray(Image.open(BytesIO(data)))[..., 0], ramp)

    def test_other_pictures_go_as_they_are(self, tmp_path):
        Image.new("RGBA", (4, 4)).save(tmp_path / "plain.png")
        data, name = as_uploaded(tmp_path / "plain.png")
        assert (data, name) == ((tmp_path / "plain.png").read_bytes(), "plain.png")

    def test_a_picture_without_a_reading_fails_alone(self, fake, workflow, tmp_path, capsys):
        (tmp_path / "in").mkdir()
        Image.fromarray(np.full((4, 4), 9.0, np.float32)).save(tmp_path / "in" / "a.tif")
        (tmp_path / "in" / "b.png").write_bytes(b"b")
        words = (workflow(), "--server", fake.url, "--out", tmp_path / "out")
        code, report = queue(capsys, *words, "--input", tmp_path / "in")
        assert (code, report["done"], report["failed"]) == (1, 1, 1)
        assert "a.tif: its floats go from 9 to 9" in report["items"][0]["error"]

    def test_linked_folders_are_followed_and_circles_are_not(self, tmp_path):
        inside, elsewhere = tmp_path / "in", tmp_path / "elsewhere"
        for folder in (inside, elsewhere / "deep"):
            folder.mkdir(parents=True)
            (folder / "1.png").touch()
        (inside / "linked").symlink_to(elsewhere, target_is_directory=True)
        (elsewhere / "back").symlink_to(inside, target_is_directory=True)
        names = [name for name, _ in pictures_in(inside, tmp_path / "out")]
        assert names == ["1", "linked/deep/1"]

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
        made = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.png")}
        assert made == {
            "1.png_Result.png": b"made from png",
            "1.jpg_Result.png": b"made from jpg",
        }

    def test_titles_become_readable_names(self, shared, workflow, tmp_path, capsys):
        path = workflow()
        prompt = json.loads(path.read_text())
        prompt["3"]["_meta"]["title"] = "Result: (final)!"
        path.write_text(json.dumps(prompt))
        queue(capsys, path, "--server", shared.url, "--out", tmp_path / "out")
        assert (tmp_path / "out" / "work_Result_final.png").read_bytes() == b"made from a cat"
