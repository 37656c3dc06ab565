"""`models fetch` and `models check`: the weight files."""

import asyncio

import click
from rich.progress import Progress, TaskID

from indexer.cli.command import command, err, out
from indexer.errors import WeightsError
from indexer.models.clip.cn_clip import weights
from indexer.models.files.published import ModelFiles
from indexer.settings import Settings


@click.group()
def models() -> None:
    """The model's weight files."""


@models.command("fetch")
@click.argument("model", required=False)
@click.option("--faces", is_flag=True, help="The weights of FACE_MODEL instead, into FACE_DOWNLOAD_ROOT.")
@command
async def models_fetch(settings: Settings, model: str | None, faces: bool) -> None:
    """Download the weights of MODEL, or else of CLIP_MODEL, into CLIP_DOWNLOAD_ROOT. `run` does so by itself."""
    from indexer.models import model_files

    await fetch(
        model_files.face_files(settings) if faces else model_files.clip_files(settings, model or settings.clip_model)
    )


async def fetch(wanted: ModelFiles) -> None:
    """Download these files, with a progress bar, and print where they are.

    Raises:
        WeightsError: they cannot be downloaded, or a file that a person has to bring is missing.
    """
    from indexer.models.files.download import download

    if wanted.repository is not None:
        wanted = await asyncio.to_thread(wanted.repository.ask)
    for own in wanted.own:
        if not own.is_file():
            raise WeightsError(
                f"there is no file {own}: put it there. Only published models can be fetched: "
                f"{', '.join(weights.FILES)}, those of Immich's names, and OWNER/NAME of Hugging Face"
            )
    with Progress(console=err) as progress:
        for file in wanted.files:
            task = progress.add_task(file.path.name, total=file.size)

            def show(host: str, done: int, task: TaskID = task, name: str = file.path.name) -> None:
                progress.update(task, completed=done, description=f"{name} from {host}")

            await asyncio.to_thread(download, file, show)
            progress.update(task, completed=file.size)
    for path in (*wanted.own, *(file.path for file in wanted.files)):
        out.print(f"{path} is there", highlight=False)


@models.command("check")
@click.argument("model", required=False)
@click.option("--faces", is_flag=True, help="The weights of FACE_MODEL instead.")
@command
async def models_check(settings: Settings, model: str | None, faces: bool) -> None:
    """Check that the weights of MODEL, or else of CLIP_MODEL, are there and are the published ones."""
    from indexer.models.clip.makers import maker_of
    from indexer.models.faces import weights as face_weights

    if faces:
        reports = await asyncio.to_thread(face_weights.check, settings.face_model, settings.face_download_root)
        for report in reports:
            out.print(str(report), highlight=False, soft_wrap=True)
        if not all(report.genuine for report in reports):
            raise WeightsError("fetch them again:  immich-indexer models fetch --faces")
        return
    wanted = model or settings.clip_model
    found = await asyncio.to_thread(maker_of(wanted).identify, wanted, settings.clip_download_root)
    said = f"a {found.note}" if found.note else "as it should be"
    out.print(f"{found.path}: {found.name}, {said}", highlight=False, soft_wrap=True)
