"""The command `immich-indexer`: `main` has all of its commands, one module for each few."""
