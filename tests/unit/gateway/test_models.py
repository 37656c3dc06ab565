"""What a gateway starts besides the model that answers searches."""

import pytest

from gateway import models
from indexer import limits
from indexer.models.memory import NoRoomError, has_room
from indexer.settings import Settings

MB = 1 << 20


@pytest.mark.parametrize(("limit", "room"), [(1000 * MB, False), (4000 * MB, True), (None, True)])
def test_a_tried_model_must_not_take_the_memory_of_searches(monkeypatch, limit, room):
    monkeypatch.setattr(limits, "read", lambda: limits.Limits(None, limit))
    settings = Settings.load(clip_model="ViT-B-16", _env_file=None)
    assert has_room(settings, "ViT-L-14", "text") is room
    if not room:
        with pytest.raises(NoRoomError, match="raise mem_limit"):
            models.open_tried(settings, "ViT-L-14")
