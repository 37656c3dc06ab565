"""A small Chinese-CLIP of our own, so that the demo and the tests really search by meaning.

It was trained by `python -m indexer.demo.drawn.train`, only on pictures of a few shapes and objects drawn by this
package. It is no model for photographs. A warning says so to everybody who names it in `CLIP_MODEL`.
"""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "demo-drawn-shapes.pt"
"""The checkpoint. Its shape is in a file beside it."""

NOTE = "demo model: trained on drawn shapes, knows nothing of photographs"
"""A note on what it is. The checkpoint contains it, too."""
