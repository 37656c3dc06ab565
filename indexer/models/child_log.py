"""What the process of a model logs goes into the log of its parent: one log, in one form.

The child writes each event as one line of JSON. Any other line, such as the last one of a library that ends the
process, becomes an event too.
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


def send() -> None:
    """In the child: from now on, write what we or a library log, and unhandled errors, as `receive` reads them."""
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
