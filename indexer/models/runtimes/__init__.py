"""The libraries that compute networks: ONNX Runtime, OpenVINO, torch; and on which device."""
