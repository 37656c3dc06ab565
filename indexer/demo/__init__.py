"""A demo without an Immich: a stand-in for Immich, a PostgreSQL of its own, and pictures to read."""
