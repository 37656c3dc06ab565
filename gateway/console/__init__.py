"""The web pages. They are served empty, in the reader's language, and JavaScript fills them from the gateway's API."""
