"""Lines of one width are read together, and each as if it were alone."""

import numpy as np
import pytest

from indexer.models.ocr.lines import LineReader

STEP = 16


class Recogniser:
    """Prepares a line as the packages do: scaled to a height of 8, and at least 16 pixels wide."""

    rec_image_shape = (3, 8, 16)

    def resize_norm_img(self, crop: np.ndarray, ratio: float) -> np.ndarray:
        line = np.zeros((3, 8, int(8 * ratio)))
        line[:, :, : crop.shape[1]] = crop.transpose(2, 0, 1)
        return line


@pytest.fixture
def asked():
    return []


@pytest.fixture
def reader(asked):
    def made(columns: int) -> LineReader:
        def run(batch):
            asked.append(batch)
            return batch

        def text(output):
            return [(str(int(line[0, 0, 0])), float(line.max())) for line in output]

        return LineReader(Recogniser(), run, text, step=STEP, columns=columns)

    return made


def crop(value: int, width: int) -> np.ndarray:
    return np.full((8, width, 3), value, np.uint8)


def test_each_line_has_its_own_text_in_any_order(reader, asked):
    widths = [40, 20, 20, 33, 5, 20, 48, 20, 20, 47]
    found = reader(1280)([crop(number, width) for number, width in enumerate(widths)])
    assert found == [(str(number), float(number)) for number in range(10)]
    assert [batch.shape for batch in asked] == [
        (4, 3, 8, 48), (4, 3, 8, 32), (1, 3, 8, 32), (1, 3, 8, 16),
    ]  # fmt: skip
    assert all(batch.dtype == np.float32 for batch in asked)


@pytest.mark.parametrize(
    ("columns", "counts"), [(0, [1] * 7), (31, [1] * 7), (64, [2, 2, 2, 1]), (127, [2, 2, 2, 1]), (128, [4, 2, 1])]
)
def test_no_more_columns_at_once(reader, asked, columns, counts):
    found = reader(columns)([crop(number, 30) for number in range(7)])
    assert [len(batch) for batch in asked] == counts
    assert [text for text, _ in found] == list("0123456")


def test_lines_are_padded_with_their_last_column(reader, asked):
    line = np.random.default_rng(0).integers(1, 255, (8, 21, 3), dtype=np.uint8)
    reader(0)([line])
    [[padded]] = asked
    assert padded.shape == (3, 8, 32)
    np.testing.assert_array_equal(padded[..., :21], line.transpose(2, 0, 1))
    assert (padded[..., 21:] == padded[..., 20:21]).all()


def test_no_line_at_all(reader, asked):
    assert reader(1280)([]) == []
    assert asked == []
