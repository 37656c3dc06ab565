"""The web page: a shell in the reader's language, filled from the gateway's own API by a little JavaScript."""
