"""The command `immich-indexer`."""

import click

import indexer
from indexer import allocator
from indexer.cli import demo, model, models, photos, role, schema, search, service, status, trial


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(indexer.__version__)
def main() -> None:
    """Index an Immich library so that Chinese photos are found by text and by meaning."""
    allocator.keep_freed()


for _command in (
    role.role,
    schema.install,
    schema.uninstall,
    service.run,
    service.backfill,
    status.status,
    photos.retry,
    photos.reprocess,
    search.search,
    status.doctor,
    model.model,
    models.models,
    demo.demo,
):
    main.add_command(_command)
model.model.add_command(trial.try_model)
