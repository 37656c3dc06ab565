"""What every command shares: its settings, its output, and how it ends when something is wrong."""

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
    """Say what is wrong, and end the process with 1."""
    err.print("error:", style="red", end=" ")
    err.print(message, highlight=False, markup=False, soft_wrap=True)  # paths and addresses are to be copied whole
    sys.exit(1)


def command(function: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async command with the settings as first argument; what is wrong is said in one line."""

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
