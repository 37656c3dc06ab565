"""Reads every photo of an Immich library, text and meaning, into the columns Immich searches."""

__version__ = "0.1.0"
