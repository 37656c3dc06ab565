"""The demo's pictures: things that people photograph because of the text on them."""

from indexer.demo.scenes import (
    cards,
    chats,
    english,
    handwriting,
    mixed,
    plain,
    receipts,
    signs,
    tables,
    traditional,
    turned,
)
from indexer.demo.scenes.scene import Scene

SCENES: list[Scene] = [
    *receipts.SCENES,
    *signs.SCENES,
    *chats.SCENES,
    *tables.SCENES,
    *traditional.SCENES,
    *english.SCENES,
    *mixed.SCENES,
    *turned.SCENES,
    *handwriting.SCENES,
    *cards.SCENES,
    *plain.SCENES,
]
