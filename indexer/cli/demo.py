"""`demo`: shows everything on a temporary database of its own."""

import sys
from pathlib import Path

import click

from indexer.cli.command import give_up
from indexer.errors import IndexerError


@click.command()
@click.option("--once", is_flag=True, help="Stop after the searches instead of offering to try your own.")
@click.option("--json", "as_json", is_flag=True, help="With --once: one JSON object on standard output, nothing else.")
@click.option("--pictures", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Your own pictures.")
def demo(once: bool, as_json: bool, pictures: Path | None) -> None:
    """Watch photos being uploaded, read and found, on a temporary database."""
    try:
        from indexer.demo.run import run as run_demo
    except ModuleNotFoundError as error:
        give_up(f"the demo needs {error.name}: pip install 'immich-indexer[demo]'")
    try:
        sys.exit(run_demo(once=once, as_json=as_json, pictures=pictures))
    except IndexerError as error:
        give_up(str(error))
