"""Immich's machine-learning address: answers what Immich asks, with what the indexer writes."""
