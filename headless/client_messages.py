"""The messages, refusals and failures that a ComfyUI server sends about a run."""

from __future__ import annotations

import asyncio

import aiohttp

from .workflow import WorkflowError, title_of

SILENCE = 2.0
"""Seconds without a message until the history is asked."""

TEXT = 3
"""The type number of binary messages that hold a node's text."""

ENDS = ("execution_success", "execution_error", "execution_interrupted")


async def next_event(socket: aiohttp.ClientWebSocketResponse, silence: float = SILENCE) -> dict:
    """The next message as an event; {} after a silence, a preview, or a lost connection."""
    try:
        message = await socket.receive(timeout=silence)
    except asyncio.TimeoutError:
        return {}
    if message.type == aiohttp.WSMsgType.TEXT:
        return message.json()
    if message.type == aiohttp.WSMsgType.BINARY:
        return text_in(message.data)
    await asyncio.sleep(SILENCE / 4)
    return {}


def text_in(data: bytes) -> dict:
    """A node's text as an event; {} for another binary message, such as a preview."""
    if len(data) < 8 or int.from_bytes(data[:4], "big") != TEXT:
        return {}
    end = 8 + int.from_bytes(data[4:8], "big")
    text = data[end:].decode("utf-8", "replace")
    return {"type": "text", "data": {"node": data[8:end].decode("utf-8", "replace"), "text": text}}


def seconds_of(messages: list) -> float:
    """The seconds of a run by the server's clock; 0 if it does not tell."""
    times = {kind: data["timestamp"] for kind, data in messages if "timestamp" in data}
    ended = next((times[kind] for kind in ENDS if kind in times), None)
    if ended is None or "execution_start" not in times:
        return 0.0
    return (ended - times["execution_start"]) / 1000


def refusal(answer: dict, prompt: dict) -> str:
    """The reason why `/prompt` refused a workflow, with those of all nodes."""
    error = answer.get("error", {})
    message = error.get("message") if isinstance(error, dict) else str(error)
    lines = [message or "ComfyUI refused the workflow"]
    for node_id, problem in answer.get("node_errors", {}).items():
        for error in problem["errors"]:
            title = title_of(prompt, node_id)
            lines.append(
                f"{title} ({problem['class_type']}): {error['message']} {error['details']}"
            )
    return "\n".join(lines)


def raise_failure(status: dict, prompt: dict) -> None:
    """Raise WorkflowError, naming the node, for a run that failed or was interrupted."""
    for kind, data in status["messages"]:
        if kind == "execution_error":
            title = title_of(prompt, data["node_id"])
            text = data["exception_message"].strip()
            raise WorkflowError(f"{title} ({data['node_type']}): {text}")
        if kind == "execution_interrupted":
            raise WorkflowError("the workflow was interrupted")
