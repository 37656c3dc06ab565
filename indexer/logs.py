"""Logging to standard error: for people on a terminal, otherwise as JSON lines. Includes what libraries log."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from indexer.database.trouble import TROUBLE, explain

# A password in a URL's login (up to the last @, because it may contain an @ itself), or as a parameter.
_PASSWORD = re.compile(r"(?P<login>://[^:/@\s]*:)\S+@|(?P<parameter>password=)[^\s&]+", re.IGNORECASE)


def _hide_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide the password of any URL in a message or a traceback, such as a driver's connection error."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _PASSWORD.sub(_blank, value)
    return event


def _blank(match: re.Match[str]) -> str:
    return f"{match['login']}***@" if match["login"] else f"{match['parameter']}***"


class _Libraries(logging.Handler):
    """Forwards what libraries log. An error of the database is one line, because the caller gets the error, too.

    When a connection ends before asyncpg's own tasks do, asyncio logs a traceback for each task. Nobody waits for these
    tasks, so such lines are only logged at the level `debug`.
    """

    def emit(self, record: logging.LogRecord) -> None:
        log, event = structlog.get_logger(), record.getMessage().split("\n", 1)[0]
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, TROUBLE):
            level = logging.DEBUG if record.name == "asyncio" else record.levelno
            log.log(level, event, logger=record.name, error=explain(error))
        else:
            log.log(record.levelno, event, logger=record.name, exc_info=record.exc_info)


def configure(level: str, form: str) -> None:
    """Set up structlog for this process. `form` is auto, human or json. `level` is the name of a level."""
    human = form == "human" or (form == "auto" and sys.stderr.isatty())
    render: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if human
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if human else "iso", utc=not human),
            structlog.processors.format_exc_info,  # plain text: other formats print local variables, and so passwords
            _hide_secrets,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Libraries()], force=True)
