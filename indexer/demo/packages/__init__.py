"""Writes CLIP models as packages in Immich's layout: the demo's own for tests, models of random weights to measure.

It needs the package `onnx`, which the tests have, and the extra `faces`.
"""
