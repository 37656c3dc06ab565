"""What a model's process writes, in the log of its parent: one log, in one form.

Most lines are events (child_log.py). Any other line, such as the last one of a library that ends the process, becomes
an event too.
"""

import json
from contextlib import suppress
from typing import IO, Any

import structlog

log = structlog.get_logger()

_LEVELS = ("debug", "info", "warning", "error", "critical")


def receive(stream: IO[bytes], engine: str) -> None:
    """In the parent: log what the child of that engine writes, until the child ends."""
    with stream, suppress(ValueError):  # our own output is closed: this process ends too
        for line in stream:
            if text := line.decode("utf-8", "replace").strip():
                event = _event(text)
                level = event.pop("level", "warning")
                getattr(log, level if level in _LEVELS else "warning")(event.pop("event"), engine=engine, **event)


def _event(text: str) -> dict[str, Any]:
    with suppress(ValueError):
        event = json.loads(text)
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            event.pop("engine", None)  # the parent knows it
            return event
    return {"event": "output of a model's process", "text": text}
