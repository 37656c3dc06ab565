"""`role`: makes the database role of our services, with Immich's own login."""

import signal

import click

from indexer.cli.command import command, out
from indexer.errors import SettingsError
from indexer.settings import Settings


@click.command()
@click.option("--wait", default=600.0, show_default=True, help="Seconds to wait for the database and Immich's tables.")
@click.option("--after-immich", is_flag=True, help="Wait first until Immich answers at IMMICH_URL.")
@command
async def role(settings: Settings, wait: float, after_immich: bool) -> None:
    """Make or repair the role `ii`, with Immich's own login. Safe to run again. Waits for Immich's tables."""
    from indexer.immich.api import Immich
    from indexer.work.role import await_immich, make

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the first process of a container ignores it otherwise
    password = settings.indexer_db_password
    if password is None or not password.get_secret_value():
        raise SettingsError("INDEXER_DB_PASSWORD is not set: choose a password for the role `ii`, and set it")

    def say(what: str) -> None:
        out.print(what, highlight=False, markup=False, soft_wrap=True)

    if after_immich and settings.immich_url:
        async with Immich(settings.immich_url) as immich:
            await await_immich(immich, say=say, patience=wait)
    await make(settings.dsn, password.get_secret_value(), say=say, patience=wait)
    out.print("the role ii exists, and has the rights it needs")
