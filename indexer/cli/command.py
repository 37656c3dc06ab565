"""What all commands share: settings, output, and how they end after an error."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, NoReturn

from rich.console import Console

from indexer import logs
from indexer.database.trouble import TROUBLE, explain
from indexer.errors import IndexerError
from indexer.settings import Settings

out = Console()
err = Console(stderr=True)


def give_up(message: str) -> NoReturn:
    """Print what is wrong, and end the process with status 1."""
    err.print("error:", style="red", end=" ")
    err.print(message, highlight=False, markup=False, soft_wrap=True)  # no wrapping: paths and addresses can be copied
    sys.exit(1)


def command(function: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async command with the settings as its first argument. An error is printed as one line."""

    @wraps(function)
    def wrapper(**options: Any) -> None:
        try:
            settings = Settings.load()
            logs.configure(settings.log_level, settings.log_format)
            asyncio.run(function(settings, **options))
        except IndexerError as error:
            give_up(str(error))
        except TROUBLE as error:
            give_up(explain(error))
        except KeyboardInterrupt:
            sys.exit(130)

    return wrapper
