"""The log of a model's process: each event is one line of JSON, which the parent reads (child_output.py).

Only what comes with Python: structlog would take 15 MB in each of these processes.
"""

import json
import logging
import sys
import threading

log = logging.getLogger(__name__)

_TRACES = logging.Formatter()


class _Events(logging.Handler):
    """Writes an event for each record, ours and those of libraries."""

    def emit(self, record: logging.LogRecord) -> None:
        event = {"event": record.getMessage(), "level": record.levelname.lower()}
        if record.name != __name__:
            event["logger"] = record.name
        if record.exc_info:
            event["exception"] = _TRACES.formatException(record.exc_info)
        sys.stderr.write(f"{json.dumps(event, ensure_ascii=False)}\n")
        sys.stderr.flush()


def send() -> None:
    """From now on, write what we or a library log, and unhandled errors."""
    logging.basicConfig(level=logging.WARNING, handlers=[_Events()], force=True)
    logging.captureWarnings(True)
    sys.excepthook = lambda *error: log.critical("a model's process ends", exc_info=error)
    threading.excepthook = lambda args: log.error(
        "a thread of a model's process ends",
        exc_info=(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback),
    )
