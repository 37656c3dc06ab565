"""The API for people: searches, photos and progress, for whoever proves who they are."""
