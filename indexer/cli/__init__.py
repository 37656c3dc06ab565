"""The command `immich-indexer`. `main` puts its commands together; each module holds a few of them."""
