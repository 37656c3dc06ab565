"""`python -m indexer.demo.drawn.train`: trains the demo's CLIP model from scratch, on pictures that it draws.

The model is cn_clip's own (`cn_clip.clip.model.CLIP`, a small ResNet and a small BERT). So is the loss: each picture
should be nearer to its caption than to the others of its batch, and each caption nearer to its picture (Radford et al.
2021, "Learning Transferable Visual Models From Natural Language Supervision"). Where a caption of the batch is true of
several of its pictures, all of them are right. A batch consists of pairs of scenes with the same things in other
places, in other numbers or in swapped colours.

The figures are about pictures whose first thing has a colour that it has in no training picture: 18 pairs such as
红 and 圆 (`scenes.HELD_OUT`). Pools of 200 such pictures are drawn, larger than those for training. Each has a caption
that says everything about it and is true of no other picture of its pool. `top1` is the fraction of captions whose
nearest picture of all 200 is their own, `picture_top1` that of pictures whose nearest caption is their own. Both
go through `load_clip`, as in a search. The model has not learned which of two things is on which side of the other. So
it confuses "red circle left of blue tree" with "blue tree left of red circle". Pools rarely contain both.

The weights in the repository come from three runs, each continuing the one before (`--start`): 26 epochs of 6,144
pictures (of slightly smaller things than are drawn now), 12 of 8,192 at `--rate 0.002`, 10 of 10,240 at 0.0015.
"""

import argparse
import io
import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn

from indexer.demo.drawn import NOTE, WEIGHTS
from indexer.demo.drawn.captions import Caption, caption, name
from indexer.demo.drawn.scenes import Scene, draw, encoded, invent, twin
from indexer.images import decode
from indexer.models.clip.cn_clip.imported import import_cn_clip
from indexer.models.clip.cn_clip.on_torch import Clip, load_clip, tokenize
from indexer.models.clip.cn_clip.shapes import Config
from indexer.models.pixels import normalised

POOL = 200
CONFIG: Config = {
    "embed_dim": 512,
    "image_resolution": 64,
    "vision_layers": [1, 1, 1, 1],
    "vision_width": 8,
    "vision_patch_size": None,
    "vision_head_width": 32,
    "vocab_size": 21128,
    "text_attention_probs_dropout_prob": 0.0,
    "text_hidden_act": "gelu",
    "text_hidden_dropout_prob": 0.0,
    "text_hidden_size": 64,
    "text_initializer_range": 0.02,
    "text_intermediate_size": 256,
    "text_max_position_embeddings": 64,
    "text_num_attention_heads": 4,
    "text_num_hidden_layers": 2,
    "text_type_vocab_size": 2,
}
_TABLE = "bert.embeddings.word_embeddings.weight"
_BATCH = 64
_SHAPES = ((160, 120), (120, 160), (140, 140), (176, 99))  # width and height in pixels of pictures to train on


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m indexer.demo.drawn.train", description=__doc__)
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="the checkpoint (.pt) to write, its .json beside it")
    parser.add_argument("--scenes", type=int, default=12_288, help="pictures to train on")
    parser.add_argument("--epochs", type=int, default=30, help="how often each is seen")
    parser.add_argument("--rate", type=float, default=3e-3, help="the learning rate at its highest")
    parser.add_argument("--threads", type=int, default=1, help="processors to use")
    parser.add_argument("--seed", type=int, default=0, help="another one draws other pictures")
    parser.add_argument(
        "--start", type=Path, help="a checkpoint of this script to go on from, rather than from nothing"
    )
    parser.add_argument("--evaluate", action="store_true", help="only print the figures of what is there")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if not options.evaluate:
        chance = Random(options.seed)  # noqa: S311 - pictures, not secrets
        scenes = pairs_of_scenes(chance, options.scenes // 2)
        pictures = rendered(scenes, chance)
        start = torch.load(options.start, weights_only=True)["state_dict"] if options.start else None
        for state in train(scenes, pictures, chance, epochs=options.epochs, rate=options.rate, start=start):
            save(state, options.out)
    print(json.dumps(evaluate(load_clip(str(options.out)))))  # noqa: T201 - the command's output


def evaluate(clip: Clip, *, pools: int = 5, pool: int = POOL, seed: int = 1) -> dict[str, float]:
    """Figures of a model as in the module's docstring, over several pools: `top1`, `picture_top1`, `pool`, `pools`."""
    chance = Random(seed)  # noqa: S311 - pictures, not secrets
    right, picture_right = [], []
    for _ in range(pools):
        scenes, captions = held_out_pool(chance, pool)
        files = (encoded(draw(scene, 480, 360)) for scene in scenes)
        pictures = clip.encode_images([clip.prepare(decode(data, max_pixels=10**6)) for data in files])
        similarity = clip.encode_texts([caption.text for caption in captions]) @ pictures.T
        right += (similarity.argmax(axis=1) == np.arange(pool)).tolist()
        picture_right += (similarity.argmax(axis=0) == np.arange(pool)).tolist()
    return {
        "top1": round(float(np.mean(right)), 4),
        "picture_top1": round(float(np.mean(picture_right)), 4),
        "pool": pool,
        "pools": pools,
    }


def held_out_pool(chance: Random, size: int) -> tuple[list[Scene], list[Caption]]:
    """Held-out scenes, and for each a caption that is true of none of the others."""
    scenes: list[Scene] = []
    captions: list[Caption] = []
    while len(scenes) < size:
        scene = invent(chance, held_out=True)
        said = caption(scene, chance, whole=True)
        if not any(said.true_of(other) or own.true_of(scene) for other, own in zip(scenes, captions, strict=True)):
            scenes.append(scene)
            captions.append(said)
    return scenes, captions


def pairs_of_scenes(chance: Random, count: int) -> list[Scene]:
    """Scenes for training. Every second one is the twin of the one before."""
    return [scene for _ in range(count) for first in (invent(chance),) for scene in (first, twin(first, chance))]


def rendered(scenes: Sequence[Scene], chance: Random) -> npt.NDArray[np.uint8]:
    """Their pictures, (n, side, side, 3), after JPEG compression, as in a library."""
    side = CONFIG["image_resolution"]
    pictures = np.empty((len(scenes), side, side, 3), dtype=np.uint8)
    for number, scene in enumerate(scenes):
        data = encoded(draw(scene, *chance.choice(_SHAPES)), chance.randint(60, 95))
        pictures[number] = np.asarray(Image.open(io.BytesIO(data)).resize((side, side), Image.Resampling.BICUBIC))
        if number % 2000 == 0:
            _say(f"drawn {number} of {len(scenes)} pictures")
    return pictures


def train(
    scenes: Sequence[Scene],
    pictures: npt.NDArray[np.uint8],
    chance: Random,
    *,
    epochs: int,
    rate: float = 3e-3,
    start: dict[str, torch.Tensor] | None = None,
) -> Iterator[dict[str, torch.Tensor]]:
    """The weights after each epoch on these scenes and their pictures. Captions are new in each epoch.

    During training the vocabulary only has the words of the captions, which is faster. All other rows are 0.
    """
    import_cn_clip()
    from cn_clip.clip.model import CLIP

    torch.manual_seed(chance.getrandbits(32))
    words = Words(
        said.text for scene in scenes for _ in range(3) for said in (caption(scene, chance), name(scene, chance))
    )
    model = CLIP(**CONFIG | {"vocab_size": len(words)}).to(memory_format=torch.channels_last).train()
    if start is not None:
        model.load_state_dict(start | {_TABLE: words.rows_of(start[_TABLE])})
    batches = len(scenes) // _BATCH
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=epochs * batches, pct_start=0.15)
    begun = time.monotonic()
    for epoch in range(epochs):
        losses, hits = [], []
        for rows in _batches(len(scenes), chance):
            shown = [scenes[row] for row in rows]
            said = [caption(scene, chance) for scene in shown] + [name(scene, chance) for scene in shown]
            loss, right = _step(model, _pixels(pictures[rows], chance), words, said, _truth(shown, said))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            with torch.no_grad():
                model.logit_scale.clamp_(max=math.log(100))
            losses.append(loss.item())
            hits.append(right)
        seconds = time.monotonic() - begun
        _say(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}, right {np.mean(hits):.3f}, {seconds:.0f} s")
        state: dict[str, torch.Tensor] = model.state_dict()
        yield state | {_TABLE: words.whole_table(state[_TABLE])}


def save(state: dict[str, torch.Tensor], path: Path) -> None:
    """Write the checkpoint in fp16, as cn_clip's own, with a note that says what it is, and its shape beside it."""
    kept = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    torch.save({"state_dict": {name: value.contiguous() for name, value in kept.items()}, "note": NOTE}, path)
    path.with_suffix(".json").write_text(json.dumps(CONFIG, indent=2) + "\n", "utf-8")


class Words:
    """The characters of some texts, with numbers of our own in place of cn_clip's, which are for all characters.

    In cn_clip each Chinese character is a word, so the tokens of a text are those of its characters.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._numbers = {character: 3 + at for at, character in enumerate(sorted(set("".join(texts))))}
        tokens = tokenize(list(self._numbers))
        begin, _, end = tokens[0, :3].tolist()
        self._ids = [0, begin, end, *tokens[:, 1].tolist()]  # 0 is padding

    def __len__(self) -> int:
        return len(self._ids)

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """(n, longest), 0 as padding. Unknown characters are left out."""
        rows = [[1, *(self._numbers[sign] for sign in text if sign in self._numbers), 2] for text in texts]
        return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)

    def rows_of(self, whole: torch.Tensor) -> torch.Tensor:
        """The embeddings of these words, from the table of all of cn_clip's words."""
        return whole[self._ids]

    def whole_table(self, table: torch.Tensor) -> torch.Tensor:
        """The table for all of cn_clip's words, with these embeddings. The others are 0, and compress well."""
        whole = torch.zeros(CONFIG["vocab_size"], table.shape[1])
        whole[self._ids] = table
        return whole


def _batches(count: int, chance: Random) -> Iterator[list[int]]:
    """Row numbers in a random order, twins together."""
    order = list(range(0, count - 1, 2))
    chance.shuffle(order)
    rows = [row for first in order for row in (first, first + 1)]
    for at in range(0, len(rows) - _BATCH + 1, _BATCH):
        yield rows[at : at + _BATCH]


def _pixels(pictures: npt.NDArray[np.uint8], chance: Random) -> torch.Tensor:
    """The input of the image tower, each picture moved a little and in slightly different light."""
    shifted = np.stack(
        [np.roll(picture, (chance.randint(-2, 2), chance.randint(-2, 2)), (0, 1)) for picture in pictures]
    )
    light = np.array([chance.uniform(0.9, 1.1) for _ in pictures], np.float32)[:, None, None, None]
    pixels = normalised((shifted * light).clip(0, 255).transpose(0, 3, 1, 2))
    return torch.from_numpy(pixels).to(memory_format=torch.channels_last)


def _truth(scenes: Sequence[Scene], captions: Sequence[Caption]) -> torch.Tensor:
    """(n, n): 1 where the caption of a column is true of the scene of a row, else 0."""
    facts = [scene.facts() for scene in scenes]
    return torch.tensor([[caption.facts <= known for caption in captions] for known in facts], dtype=torch.float32)


def _step(
    model: Any, pixels: torch.Tensor, words: Words, captions: Sequence[Caption], truth: torch.Tensor
) -> tuple[torch.Tensor, float]:
    """The loss of n pictures, n captions and n names, and the fraction of captions whose nearest picture is right."""
    count = len(pixels)
    pictures = nn.functional.normalize(model.encode_image(pixels), dim=1)
    texts = [one.text for one in captions]
    encoded = torch.cat([model.encode_text(words(texts[:count])), model.encode_text(words(texts[count:]))])
    logits = model.logit_scale.exp() * pictures @ nn.functional.normalize(encoded, dim=1).T
    losses = []
    for columns in (slice(count), slice(count, None)):
        some, true = logits[:, columns], truth[:, columns]
        losses.append(nn.functional.cross_entropy(some, true / true.sum(dim=1, keepdim=True)))
        losses.append(nn.functional.cross_entropy(some.T, (true / true.sum(dim=0)).T))
    right = truth[:, :count].gather(0, logits[:, :count].argmax(dim=0, keepdim=True)).mean().item()
    return torch.stack(losses).mean(), right


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command's progress


if __name__ == "__main__":
    main()
