"""How words and meaning are best fused: nDCG@10 of several ways, on a labelled library that is drawn for it.

The library: 60 % pictures of drawn things (`indexer.demo.drawn`), 20 % such pictures with a text below, 20 % pages of
text. A text has a title and 1 to 12 lines of a few words, among them the names of things, which it mostly does not
show. What is written is known and stored as an OCR engine would have read it; the vectors are the CLIP model's own. The
queries, and how relevant a photo is to them:

- `words`, ordinary ones and numbers that are written somewhere: 2 in a title, 1 in other lines;
- `meaning`, captions such as 三只红色的蝴蝶 that are written nowhere: 2 where they are true;
- `both`, the names of things: 3 where shown and in the title, 2 where shown or in the title, 1 in other lines only;
- `misread`, titles of 4 or more characters that are stored with one character wrong: 2, that photo alone;
- `alike`, captions of pictures of which a title of another photo differs by one character, not by mistake: 2 where they
  are true, which a text that is nearly the same must not displace.

Each query's candidates come from the search itself, once, and every way of fusing gets the same ones. nDCG@10 is that
of Järvelin and Kekäläinen (2002) with gains 2^relevance - 1; `all` is the mean of the five kinds. Weights are the share
of the words; `ranks` is reciprocal rank fusion (Cormack, Clarke and Büttcher 2009) with their constant 60.
"""

import argparse
import asyncio
import os
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import log2
from random import Random
from uuid import UUID, uuid5

import numpy as np
from pgvector import HalfVector

from bench import library
from bench.queue import on_database
from indexer.database.pool import Pool, open_pool
from indexer.demo.canvas import Canvas
from indexer.demo.drawn import WEIGHTS
from indexer.demo.drawn.captions import Caption, caption
from indexer.demo.drawn.scenes import Fact, Scene, draw, invent
from indexer.demo.drawn.things import THINGS
from indexer.images import Picture
from indexer.models.clip.cn_clip.on_torch import Clip, load_clip
from indexer.models.results import Line
from indexer.photos import results
from indexer.photos.lines import dump_lines, stored_lines
from indexer.search import fusion, hybrid
from indexer.search.hybrid import SearchRequest
from indexer.search.meaning import Near
from indexer.search.viewer import ADMINISTRATOR
from indexer.search.words import Candidate

NAME = "fusion"
DESCRIPTION = "nDCG@10 of ways to fuse words and meaning, on a labelled library"

_WORDS = (
    *("发票", "收据", "合同", "会议", "通知", "报销", "快递", "订单", "车票", "体检", "成绩", "课程", "作业", "菜单"),
    *("价格", "优惠", "电话", "地址", "日期", "姓名", "单位", "金额", "数量", "合计", "备注", "签字", "医院", "学校"),
    *("银行", "超市", "酒店", "景点", "门票", "停车", "物业", "水电", "保险", "护照", "签证", "招聘"),
)
_TITLES = (
    *("差旅费报销单", "增值税发票", "房屋租赁合同", "年度体检报告", "期末成绩通知"),
    *("快递签收记录", "物业缴费收据", "会议签到名单", "旅行保险凭证", "课程安排总表"),
)
_WRONG = "曰未己亳夭"
_SIZE = (320, 240)
_OWNER = UUID(int=4)
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_CHUNK = 200
_SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_CONSTANT = 60
_SEEDS = (9, 10)  # two libraries, for less chance

Fuse = Callable[[Sequence[Candidate], Sequence[Near], float], list[UUID]]


@dataclass
class Photo:
    """What a photo shows and says, the title first, also as lines read; `alike` is what its title nearly says."""

    scene: Scene | None = None
    lines: list[str] = field(default_factory=list)
    stored: list[Line] = field(default_factory=list)
    alike: Caption | None = None

    def said(self, word: str) -> int:
        """2 in the title, 1 in another line, 0 nowhere."""
        return 2 if self.lines and word in self.lines[0] else int(any(word in line for line in self.lines))


@dataclass(frozen=True)
class Query:
    """What is typed, its kind, and the relevance of each photo."""

    kind: str
    text: str
    relevance: dict[UUID, int]


def run(options: argparse.Namespace) -> dict[str, object]:
    """Returns `weights` and `ranks`: for each share of the words the nDCG@10 of `all` and of each kind of query."""
    count = 400 if options.quick else 1_500
    clip = load_clip(options.clip or str(WEIGHTS), threads=1)
    asked: list[tuple[Query, list[Candidate], list[Near]]] = []
    for seed in _SEEDS:
        with on_database(options.url or os.environ.get("TEST_DATABASE_URL") or None) as url:
            asked += asyncio.run(_asked(url, clip, count, Random(seed)))
    return {"photos": count * len(_SEEDS), "clip": clip.name} | _figures(asked)


def by_weights(texts: Sequence[Candidate], nears: Sequence[Near], share: float) -> list[UUID]:
    """The search's own way: normalised scores, weighted."""
    return list(fusion.fuse(texts, nears, share))


def by_ranks(texts: Sequence[Candidate], nears: Sequence[Near], share: float) -> list[UUID]:
    """Reciprocal rank fusion, each list with its weight; what was forgiven weighs as little as in the other way."""
    scores = {near.asset_id: (1 - share) / (_CONSTANT + rank) for rank, near in enumerate(nears, 1)}
    for rank, text in enumerate(texts, 1):
        weight = fusion.weight_of(text, share) / (_CONSTANT + rank)
        scores[text.asset_id] = scores.get(text.asset_id, 0) + weight
    return sorted(scores, key=lambda asset: -scores[asset])


_WAYS: dict[str, Fuse] = {"weights": by_weights, "ranks": by_ranks}


async def _asked(url: str, clip: Clip, count: int, chance: Random) -> list[tuple[Query, list[Candidate], list[Near]]]:
    """The queries to a library of so many photos, each with its candidates."""
    photos = {uuid5(_OWNER, str(number)): photo for number, photo in enumerate(_photos(chance, count))}
    await _fill(url, photos, clip)
    pool = await open_pool(url)
    try:
        return [(query, *await _candidates(pool, clip, query.text)) for query in _queries(photos, chance)]
    finally:
        await pool.close()


def _figures(asked: Sequence[tuple[Query, list[Candidate], list[Near]]]) -> dict[str, object]:
    kinds = Counter(query.kind for query, _, _ in asked)
    figures: dict[str, object] = {"queries": dict(kinds)}
    for name, fuse in _WAYS.items():
        table = {}
        for share in _SHARES:
            scores: dict[str, list[float]] = {kind: [] for kind in kinds}
            for query, texts, nears in asked:
                scores[query.kind].append(ndcg(fuse(texts, nears, share), query.relevance))
            means = {kind: round(statistics.fmean(some), 4) for kind, some in scores.items()}
            table[str(share)] = {"all": round(statistics.fmean(means.values()), 4)} | means
        figures[name] = table
    return figures


def ndcg(order: Sequence[UUID], relevance: dict[UUID, int], depth: int = 10) -> float:
    """The nDCG at a depth, 0 to 1: 1 where no order would be better."""

    def gain(grades: Sequence[int]) -> float:
        return sum((2.0**grade - 1) / log2(place + 2) for place, grade in enumerate(grades[:depth]))

    best = gain(sorted(relevance.values(), reverse=True))
    return gain([relevance.get(asset, 0) for asset in order]) / best if best else 0.0


async def _candidates(pool: Pool, clip: Clip, text: str) -> tuple[list[Candidate], list[Near]]:
    vector = asyncio.ensure_future(asyncio.to_thread(lambda: clip.encode_texts([text])[0]))
    return await hybrid.candidates(pool, SearchRequest.parse(text, "hybrid"), ADMINISTRATOR, vector)


# The library


def _photos(chance: Random, count: int) -> list[Photo]:
    titles = list(_TITLES * 2)
    photos = []
    for number in range(count):
        kind = chance.random()
        photo = Photo(None if kind < 0.2 else _scene(chance))
        if kind < 0.4:
            photo.lines = [_words(chance, 1, 2), *(_words(chance, 2, 5) for _ in range(chance.randint(1, 12)))]
            if number % 7 == 0 and titles:
                photo.lines[0] = f"{titles.pop()}{chance.randint(100, 999)}"
        photos.append(photo)
    scenes = [photo.scene for photo in photos if photo.scene]
    for photo in [photo for photo in photos if photo.lines and not photo.lines[0].startswith(_TITLES)][:20]:
        while "，" in (said := caption(chance.choice(scenes), chance)).text or len(said.text) < 5:
            pass
        photo.alike = said
        photo.lines[0] = _altered(said.text)
    return photos


def _altered(text: str) -> str:
    """With another third character."""
    return text[:2] + _WRONG[len(text) % len(_WRONG)] + text[3:]


def _scene(chance: Random) -> Scene:
    while not (scene := invent(chance)).groups:
        pass
    return scene


def _words(chance: Random, least: int, most: int) -> str:
    def word() -> str:
        kind = chance.random()
        if kind < 0.12:
            return chance.choice(THINGS).name
        return chance.choice(_WORDS) if kind < 0.9 else str(chance.randint(10_000, 99_999))

    return " ".join(word() for _ in range(chance.randint(least, most)))


def _picture(photo: Photo) -> Picture:
    """The photo as it looks; its lines are noted with their corners, as read."""
    width, height = _SIZE
    above = height if photo.scene else 0
    sizes = [24, *(12 for _ in photo.lines[1:])] if photo.lines else []
    canvas = Canvas(width, above + sum(round(1.5 * size) for size in sizes) + (12 if sizes else 0), "#f8f8f5")
    if photo.scene:
        canvas.image.paste(draw(photo.scene, width, height))
    y = above + 6
    whole = canvas.image.height
    for line, size in zip(photo.lines, sizes, strict=True):
        right = min(1.0, (8 + canvas.write((8, y), line, size)) / width)
        top, bottom = y / whole, (y + 1.3 * size) / whole
        corners = (8 / width, top, right, top, right, bottom, 8 / width, bottom)
        photo.stored.append(Line(line, corners, 0.95, 0.97))
        y += round(1.5 * size)
    return Picture(np.asarray(canvas.image))


async def _fill(url: str, photos: dict[UUID, Photo], clip: Clip) -> None:
    """Immich's tables and ours, with everything as the indexer would have left it."""
    connection = await library.prepare(url)
    pool = await open_pool(url)
    try:
        ids = list(photos)
        for start in range(0, len(ids), _CHUNK):
            some = ids[start : start + _CHUNK]
            vectors = clip.encode_images([clip.prepare(_picture(photos[asset])) for asset in some])
            rows = [
                library.Photo(asset, _OWNER, _NOW - timedelta(hours=start + at), "") for at, asset in enumerate(some)
            ]
            await library.write(connection, library.rows(rows))
            await connection.execute(
                """UPDATE immich_indexer.photo p SET clip_model = $1, clip = new.clip::halfvec, lines = new.lines,
                       tokens_version = 0
                   FROM unnest($2::uuid[], $3::text[], $4::jsonb[]) AS new (asset_id, clip, lines)
                   WHERE p.asset_id = new.asset_id""",
                clip.name,
                some,
                [HalfVector(vector).to_text() for vector in vectors],
                [dump_lines(stored_lines(_read(photos[asset]))) for asset in some],
            )
            await results.restore(pool, some)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await pool.close()
        await connection.close()


def _read(photo: Photo) -> list[Line]:
    """What the engine makes of the lines: one of the long titles' characters is wrong."""
    if not photo.lines or not photo.lines[0].startswith(_TITLES):
        return photo.stored
    title, *others = photo.stored
    return [Line(_altered(title.text), title.corners, title.box_score, title.text_score), *others]


# The queries


def _queries(photos: dict[UUID, Photo], chance: Random) -> Iterator[Query]:
    numbers = [word for photo in photos.values() for line in photo.lines for word in line.split() if word.isdigit()]
    everything = photos.values()
    for word in (*_WORDS, *chance.sample(numbers, min(20, len(numbers)))):
        yield Query("words", word, _graded(photos, (photo.said(word) for photo in everything)))
    for said in _unwritten(photos, chance, 60):
        yield Query("meaning", said.text, _graded(photos, (2 * _true(said.facts, photo) for photo in everything)))
    for thing in THINGS:
        yield Query("both", thing.name, _graded(photos, (_both(photo, thing.name) for photo in everything)))
    for asset, photo in photos.items():
        if photo.lines and photo.lines[0].startswith(_TITLES):
            yield Query("misread", photo.lines[0], {asset: 2})
        if photo.alike:
            facts = photo.alike.facts
            yield Query("alike", photo.alike.text, _graded(photos, (2 * _true(facts, other) for other in everything)))


def _graded(photos: dict[UUID, Photo], grades: Iterable[int]) -> dict[UUID, int]:
    return {asset: grade for asset, grade in zip(photos, grades, strict=True) if grade}


def _both(photo: Photo, name: str) -> int:
    shown, said = _true({("has", name, None)}, photo), photo.said(name)
    return 3 if shown and said == 2 else 2 if shown or said == 2 else said


def _true(facts: frozenset[Fact] | set[Fact], photo: Photo) -> bool:
    return photo.scene is not None and facts <= photo.scene.facts()


def _unwritten(photos: dict[UUID, Photo], chance: Random, count: int) -> Iterator[Caption]:
    """Captions of some of the pictures that no text holds."""
    texts = ["".join(photo.lines).replace(" ", "") for photo in photos.values()]
    shown = [photo.scene for photo in photos.values() if photo.scene]
    seen: set[str] = set()
    while len(seen) < count:
        said = caption(chance.choice(shown), chance)
        if said.text not in seen and not any(said.text in text for text in texts):
            seen.add(said.text)
            yield said
