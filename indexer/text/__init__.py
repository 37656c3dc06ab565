"""Text for searching: one normaliser and one tokeniser, the same for documents and for queries."""
