"""Answers to what Immich asks at its machine-learning URL."""
