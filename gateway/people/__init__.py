"""The API for people: searches, photos and progress. Each request proves who asks."""
