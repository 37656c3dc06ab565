"""Reads the text and the meaning of every photo of an Immich library into the columns that Immich searches."""

import os
import sys

__version__ = "0.1.0"

# Set before NumPy is imported. Its matrices are small here. Several threads wait for each other, and on a busy machine
# take several times as long as one. The models have threads of their own (CPU_THREADS).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Set before ONNX Runtime is loaded, in case one newer than ours is installed: from 1.29 on it tells Microsoft which
# models it runs.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Set before OpenVINO is loaded: where this package is installed, OpenVINO tells Google Analytics of each import.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # Python's way to say that there is none
