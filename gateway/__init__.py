"""Immich's machine-learning address: reserved here, so that what it builds on stays importable from `indexer` alone."""
