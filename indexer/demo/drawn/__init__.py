"""A small Chinese-CLIP of our own, so that the demo and the tests search by meaning for real.

It was trained by `python -m indexer.demo.drawn.train` on pictures of a few shapes and objects drawn by this package,
and on nothing else. It is no model for photographs: whoever names it in `CLIP_MODEL` is told so.
"""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "demo-drawn-shapes.pt"
"""The checkpoint; its shape stands beside it."""

NOTE = "demo model: trained on drawn shapes, knows nothing of photographs"
"""What it is: stands in the checkpoint itself, too."""
