"""CLIP models in the layout of Immich's machine-learning server: two ONNX networks and what belongs to them."""
