"""Lines of text as our table stores them."""

import numpy as np

from indexer.models.results import Line
from indexer.photos.lines import StoredLine, dump_lines, parse_lines, stored_lines


def test_what_was_read_is_stored_with_few_decimals_and_no_type_of_numpys():
    corners = tuple(np.float32(number) for number in (0.1, 0.2, 0.8, 0.2000049, 0.8, 0.3, 1 / 3, 0.29999999))
    (line,) = stored_lines([Line("合计\x0012", corners, np.float32(0.95), 0.98765)])
    assert line == StoredLine("合计12", (0.1, 0.2, 0.8, 0.2, 0.8, 0.3, 0.33333, 0.3), 0.95, 0.9876)
    assert parse_lines(dump_lines([line])) == [line]
    assert stored_lines([]) == []


def test_the_height_is_the_shorter_side():
    upright = StoredLine("出口", (0.1, 0.1, 0.5, 0.1, 0.5, 0.2, 0.1, 0.2), 1, 1)
    column = StoredLine("出口", (0.1, 0.1, 0.2, 0.1, 0.2, 0.7, 0.1, 0.7), 1, 1)
    assert round(upright.height, 6) == round(column.height, 6) == 0.1
