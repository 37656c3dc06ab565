"""What Immich asks of its machine-learning URL."""
