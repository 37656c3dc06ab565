"""Chinese-CLIP: the five published models, and checkpoints of one's own."""
