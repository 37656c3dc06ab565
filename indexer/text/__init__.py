"""Text as it is searched: one normaliser and one tokeniser, for documents and for queries alike."""
