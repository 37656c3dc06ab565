"""What `bench peers` counts."""

from bench.peers import _cosine, _read
from bench.peers_sides import Answer
from bench.reading_pictures import Sample


def test_lines_are_counted_picture_by_picture():
    written = [Sample(b"", ["合计 12", "合计 12"]), Sample(b"", ["出口"])]
    read = [Answer(["合计 12", "出口"], []), Answer(["出口", "入口"], [])]
    none = [Answer(["口"], []), Answer([], [])]
    assert _read(written, read, [Sample(b"", []), Sample(b"", [])], none) == {"exact": 0.6667, "false_lines": 1}


def test_vectors_may_have_any_length():
    ours, others = [Answer([], [3.0, 4.0]), Answer([], [0.0, 1.0])], [Answer([], [0.6, 0.8]), Answer([], [1.0, 0.0])]
    assert _cosine(ours[:1], others[:1]) == 1.0
    assert _cosine(ours, others) == 0.5
