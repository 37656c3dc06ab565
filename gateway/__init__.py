"""The server at Immich's machine-learning address. It answers with the results that the indexer stores."""
