"""The faces in a picture, and whom they resemble, with InsightFace's models."""
