"""What the process of a model says, in the log of the process that asks it: one log, in one form, whoever speaks.

The child writes an event a line, as JSON. Whatever else comes out of it, as of a library that ends it, is a line, too.
"""

import json
import logging
import sys
import threading
from contextlib import suppress
from typing import IO, Any

import structlog

log = structlog.get_logger()

_LEVELS = ("debug", "info", "warning", "error", "critical")


class _Libraries(logging.Handler):
    """Passes on what libraries log."""

    def emit(self, record: logging.LogRecord) -> None:
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)


def speak() -> None:
    """In the child: write what is logged, by us or by a library, and what ends it, as `listen` reads it."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Libraries()], force=True)
    logging.captureWarnings(True)
    sys.excepthook = lambda *error: log.critical("a model's process ends", exc_info=error)
    threading.excepthook = lambda args: log.error(
        "a thread of a model's process ends",
        exc_info=(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback),
    )


def listen(stream: IO[bytes], engine: str) -> None:
    """In the parent: log what the child of that engine writes, until it ends; at its own level, as far as it tells."""
    with stream, suppress(ValueError):  # what we write to is closed: this process ends, too
        for line in stream:
            if said := line.decode("utf-8", "replace").strip():
                event = _event(said)
                level = event.pop("level", "warning")
                getattr(log, level if level in _LEVELS else "warning")(event.pop("event"), engine=engine, **event)


def _event(said: str) -> dict[str, Any]:
    with suppress(ValueError):
        event = json.loads(said)
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            event.pop("engine", None)  # whose it is, we know
            return event
    return {"event": "a model's process says", "said": said}
