"""A stand-in for a ComfyUI server that answers as the real one does and can misbehave on demand.

`python fake_comfyui.py PORT FOLDER` keeps inputs and outputs in FOLDER and writes a line to
FOLDER/runs.jsonl whenever it begins a workflow. Like the real one it forgets its queue and history
when it ends. Its node "Work" takes `seconds` and does what `conduct` says.
"""

import asyncio
import contextlib
import json
import os
import sys
import time
from pathlib import Path

from aiohttp import WSMsgType, web

CONDUCTS = [
    "work",
    "fail",
    "drop the socket",
    "say nothing",
    "answer 500",
    "answer a page",
    "die",
    "see nobody",
    "take a part",
]
TEXT = 3  # a binary message in which a node says something
PICTURE = {"image_upload": True}


class FakeComfyUI:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.queue: list[tuple] = []
        self.running: list[tuple] = []
        self.history: dict[str, dict] = {}
        self.sockets: dict[str, web.WebSocketResponse] = {}
        self.stop_running = False
        self.more = asyncio.Event()
        for name in ("input", "output", "temp"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/ws", self.socket),
                web.get("/system_stats", lambda _: answer({})),
                web.get("/object_info", lambda _: answer(self.object_info())),
                web.get("/queue", self.show_queue),
                web.post("/queue", self.change_queue),
                web.post("/interrupt", self.interrupt),
                web.get("/history/{job}", self.show_history),
                web.post("/prompt", self.take),
                web.post("/upload/image", self.upload),
                web.get("/view", self.view),
            ]
        )
        return app

    def object_info(self) -> dict:
        pictures = sorted(path.name for path in (self.folder / "input").glob("*.*"))
        work = {
            "image": ["IMAGE", {}],
            "seconds": ["FLOAT", {"default": 0.0, "min": 0.0, "max": 60.0}],
            "conduct": ["COMBO", {"options": CONDUCTS}],
        }
        text = ["STRING", {"default": ""}]
        return {
            "LoadImage": node({"image": [pictures, PICTURE]}, ["IMAGE", "MASK"]),
            "Work": node(work, ["IMAGE", "STRING"]),
            "SaveImage": node({"images": ["IMAGE", {}]}, [], shows=True),
            "PreviewImage": node({"images": ["IMAGE", {}]}, [], shows=True),
            "PreviewAny": node({"source": ["*", {}]}, [], shows=True),
            "VisageTradeoff": node({"label": text, "keep": text}, ["IMAGE"], shows=True),
        }

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets[request.query["clientId"]] = socket
        await socket.send_json({"type": "status", "data": {}})
        async for message in socket:
            if message.type == WSMsgType.ERROR:
                break
        return socket

    async def tell(self, job: str, kind: str, **data) -> None:
        socket = self.sockets.get(job)
        if socket and not socket.closed:
            with contextlib.suppress(ConnectionError):
                await socket.send_json({"type": kind, "data": {**data, "prompt_id": job}})

    async def say_to_all(self, key: str, text: str) -> None:
        message = TEXT.to_bytes(4, "big") + len(key).to_bytes(4, "big") + (key + text).encode()
        for socket in self.sockets.values():
            if not socket.closed:
                await socket.send_bytes(message)

    async def show_queue(self, _) -> web.Response:
        return await answer({"queue_running": self.running, "queue_pending": self.queue})

    async def change_queue(self, request: web.Request) -> web.Response:
        gone = (await request.json())["delete"]
        self.queue = [entry for entry in self.queue if entry[1] not in gone]
        return web.Response()

    async def interrupt(self, request: web.Request) -> web.Response:
        job = (await request.json())["prompt_id"]
        self.stop_running = self.stop_running or any(entry[1] == job for entry in self.running)
        return web.Response()

    async def show_history(self, request: web.Request) -> web.Response:
        job = request.match_info["job"]
        return await answer({job: self.history[job]} if job in self.history else {})

    async def take(self, request: web.Request) -> web.Response:
        asked = await request.json()
        prompt = asked["prompt"]
        for key, inner in prompt.items():
            if inner["inputs"].get("conduct") == "answer 500":
                return web.Response(status=500)
            if inner["inputs"].get("conduct") == "answer a page":
                return web.Response(text="<html>Sign in</html>", content_type="text/html")
            picture = inner["inputs"].get("image")
            if isinstance(picture, str) and not (self.folder / "input" / picture).is_file():
                error = {"message": "Custom validation failed for node", "details": picture}
                errors = {key: {"class_type": inner["class_type"], "errors": [error]}}
                refusal = {"error": {"message": "Prompt failed"}, "node_errors": errors}
                return web.json_response(refusal, status=400)
        self.queue.append((0, asked["prompt_id"], prompt))
        error = {"message": "Required input is missing", "details": "bypass"}
        errors = {
            key: {"class_type": inner["class_type"], "errors": [error]}
            for key, inner in prompt.items()
            if inner["inputs"].get("conduct") == "take a part"
        }
        if not errors:
            self.more.set()
        return await answer({"prompt_id": asked["prompt_id"], "number": 0, "node_errors": errors})

    async def upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        data, name, subfolder = form["image"].file.read(), form["image"].filename, form["subfolder"]
        (self.folder / "input" / subfolder).mkdir(exist_ok=True)
        path = self.folder / "input" / subfolder / name
        number = 0
        while path.exists() and path.read_bytes() != data:
            number += 1
            stem, dot, suffix = name.rpartition(".")
            path = path.with_name(f"{stem} ({number}){dot}{suffix}")
        path.write_bytes(data)
        return await answer({"name": path.name, "subfolder": subfolder, "type": "input"})

    async def view(self, request: web.Request) -> web.StreamResponse:
        path = self.folder / request.query["type"] / request.query["filename"]
        return web.FileResponse(path) if path.is_file() else web.Response(status=404)

    async def work(self) -> None:
        while True:
            await self.more.wait()
            while self.queue:
                entry = self.queue.pop(0)
                self.running = [entry]
                await self.run(*entry[1:])
                self.running = []
                await self.tell(entry[1], "executing", node=None)
            self.more.clear()

    async def run(self, job: str, prompt: dict) -> None:
        pictures = [inner["inputs"]["image"] for inner in prompt.values() if loads(inner)]
        with (self.folder / "runs.jsonl").open("a") as file:
            file.write(json.dumps({"job": job, "picture": pictures[0]}) + "\n")
        began = time.time_ns() // 1_000_000
        await self.tell(job, "execution_start")
        key, work = next((k, n["inputs"]) for k, n in prompt.items() if n["class_type"] == "Work")
        conduct = work["conduct"]
        if conduct == "die":
            await asyncio.sleep(0.5)
            os._exit(9)
        if conduct == "drop the socket":
            await self.sockets[job].close()
        if conduct == "say nothing":
            self.sockets.pop(job)
        await self.tell(job, "executing", node=key)
        for step in (1, 2):
            await asyncio.sleep(work["seconds"] / 2)
            await self.tell(job, "progress", node=key, value=step, max=2)
            if self.stop_running:
                self.stop_running = False
                self.end(job, [["execution_interrupted", {}]], {})
                return
        if conduct == "see nobody":
            await self.say_to_all(key, "No face found in picture 1 of 1.")
        if conduct == "fail":
            what = {"node_id": key, "node_type": "Work", "exception_message": "no face\n"}
            self.end(job, [["execution_error", what]], {})
            return
        data = (self.folder / "input" / pictures[0]).read_bytes()
        outputs = {}
        for key, inner in prompt.items():
            kind = {"SaveImage": "output", "PreviewImage": "temp"}.get(inner["class_type"])
            if kind:
                name = f"{len(os.listdir(self.folder / kind)):05}.png"
                (self.folder / kind / name).write_bytes(b"made from " + data)
                outputs[key] = {"images": [{"filename": name, "subfolder": "", "type": kind}]}
            elif inner["class_type"] == "PreviewAny":
                outputs[key] = {"text": ["all is well"]}
            elif inner["class_type"] == "VisageTradeoff":
                # The longer it works, the more style; a longer picture keeps more of the person.
                scores = f"{work['seconds'] * 10},{len(data) / 100}"
                line = f"{inner['inputs']['label']}{inner['inputs']['keep']},{scores},1"
                outputs[key] = {"text": [f"label,style,identity,on_front\n{line}\n"]}
        ended = time.time_ns() // 1_000_000
        start = ["execution_start", {"timestamp": began}]
        self.end(job, [start, ["execution_success", {"timestamp": ended}]], outputs)

    def end(self, job: str, messages: list, outputs: dict) -> None:
        self.history[job] = {"status": {"messages": messages}, "outputs": outputs}


def node(inputs: dict, outputs: list, shows: bool = False) -> dict:
    return {
        "input": {"required": inputs},
        "input_order": {"required": list(inputs)},
        "output": outputs,
        "output_node": shows,
    }


def loads(inner: dict) -> bool:
    return inner["class_type"] == "LoadImage"


async def answer(content: dict) -> web.Response:
    return web.json_response(content)


async def main(port: int, folder: Path) -> None:
    fake = FakeComfyUI(folder)
    runner = web.AppRunner(fake.app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await fake.work()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
