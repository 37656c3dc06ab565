"""A demonstration without an Immich: a stand-in for it, a PostgreSQL of its own, and pictures to read."""
