"""`models fetch` and `models check`: the weight files."""

import asyncio

import click
from rich.progress import Progress

from indexer.cli.command import command, err, out
from indexer.settings import Settings


@click.group()
def models() -> None:
    """The model's weight files."""


@models.command("fetch")
@click.argument("model", required=False)
@click.option("--faces", is_flag=True, help="Those of FACE_MODEL instead, into FACE_DOWNLOAD_ROOT.")
@command
async def models_fetch(settings: Settings, model: str | None, faces: bool) -> None:
    """Download the weights of MODEL, or else of CLIP_MODEL, into CLIP_DOWNLOAD_ROOT."""
    from indexer.models import face_weights, weights

    wanted = model or settings.clip_model

    with Progress(console=err) as progress:
        task = progress.add_task(settings.face_model if faces else wanted, total=None)

        def show(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total)

        if faces:
            for path in await asyncio.to_thread(
                face_weights.fetch,
                settings.face_model,
                settings.face_download_root,
                progress=show,
                host=settings.hf_endpoint,
            ):
                out.print(f"{path} is there", highlight=False)
            return
        path = await asyncio.to_thread(
            weights.fetch,
            wanted,
            settings.clip_download_root,
            source=settings.weights_source,
            progress=show,
            host=settings.hf_endpoint if settings.weights_source == "huggingface" else settings.modelscope_endpoint,
        )
    out.print(f"{path} is there", highlight=False)


@models.command("check")
@click.argument("model", required=False)
@click.option("--faces", is_flag=True, help="Those of FACE_MODEL instead.")
@command
async def models_check(settings: Settings, model: str | None, faces: bool) -> None:
    """See whether the weights of MODEL, or else of CLIP_MODEL, are there and what they should be."""
    from indexer.models import face_weights
    from indexer.models.checkpoint import open_checkpoint

    if faces:
        for report in await asyncio.to_thread(face_weights.check, settings.face_model, settings.face_download_root):
            out.print(str(report), highlight=False)
        return
    checkpoint = await asyncio.to_thread(open_checkpoint, model or settings.clip_model, settings.clip_download_root)
    said = f"a {checkpoint.note}" if checkpoint.note else "as it should be"
    out.print(f"{checkpoint.path}: SHA-256 {checkpoint.sha256}, {said}", highlight=False)
