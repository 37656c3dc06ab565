"""Logging: for a person on a terminal, as JSON lines otherwise, always on standard error; what libraries log, too."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from indexer.database.trouble import TROUBLE, explain

# In a URL's login (up to the last @, for the password may hold one that nobody quoted), or as a parameter.
_PASSWORD = re.compile(r"(?P<login>://[^:/@\s]*:)\S+@|(?P<parameter>password=)[^\s&]+", re.IGNORECASE)


def _hide_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank the password of any URL that slips into a message or a traceback, such as a driver's connection error."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _PASSWORD.sub(_blank, value)
    return event


def _blank(match: re.Match[str]) -> str:
    return f"{match['login']}***@" if match["login"] else f"{match['parameter']}***"


class _Libraries(logging.Handler):
    """Passes on what libraries log. Trouble with the database is one line: it passes, and whoever asked is told.

    Of asyncpg's own tasks, whose connection ended before they did, asyncio would print a traceback each: these have
    nobody who asked, and are for whoever looks for the last detail.
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
    """Set up structlog for this process. `form` is auto, human or json; `level` a level's name."""
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
            structlog.processors.format_exc_info,  # plain text: prettier ones print local variables, passwords too
            _hide_secrets,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Libraries()], force=True)
