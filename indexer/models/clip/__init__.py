"""CLIP models: pictures and texts as vectors of one space."""
