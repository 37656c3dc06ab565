"""Reads a file that describes a model: one JSON object."""

import json
from pathlib import Path
from typing import Any

from indexer.errors import WeightsError


def read_object(path: Path, missing: str) -> dict[str, Any]:
    """The object in the file. Raises WeightsError, with the sentence `missing` where there is no file."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise WeightsError(missing) from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} is not a JSON object")
    return content
