"""Immich's own tokenisation of OCR text, so that its OCR filter finds what we write into `ocr_search`."""

# Inclusive ranges of UTF-16 code units that Immich counts as Chinese, Japanese or Korean.
_CJK = ((0x4E00, 0x9FFF), (0xAC00, 0xD7AF), (0x3040, 0x309F), (0x30A0, 0x30FF), (0x3400, 0x4DBF))


def _kind(unit: int) -> str:
    if unit <= 32:
        return "space"
    return "cjk" if any(low <= unit <= high for low, high in _CJK) else "other"


def tokens(text: str) -> list[str]:
    """Tokens of one line, as Immich makes them.

    It works on UTF-16 code units. Units up to 32 separate tokens. A run of one CJK unit stays, a run of n becomes its
    n - 1 overlapping pairs. Any other run is one token, with its punctuation.
    """
    data = text.encode("utf-16-le", "surrogatepass")
    units = [int.from_bytes(data[i : i + 2], "little") for i in range(0, len(data), 2)]
    kinds = [_kind(unit) for unit in units]

    def piece(start: int, end: int) -> str:
        return data[2 * start : 2 * end].decode("utf-16-le", "surrogatepass")

    found: list[str] = []
    start = 0
    for end in range(1, len(units) + 1):
        if end < len(units) and kinds[end] == kinds[start]:
            continue
        if kinds[start] == "cjk" and end - start > 1:
            found += [piece(i, i + 2) for i in range(start, end - 1)]
        elif kinds[start] != "space":
            found.append(piece(start, end))
        start = end
    return found


def search_text(lines: list[str]) -> str:
    """What Immich stores in `ocr_search.text` for these lines."""
    return " ".join(token for line in lines for token in tokens(line))
