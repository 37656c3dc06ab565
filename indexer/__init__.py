"""Reads every photo of an Immich library, text and meaning, into the columns Immich searches."""

import os

__version__ = "0.1.0"

# Before NumPy is imported. Its matrices are small here: threads that wait for each other, on a busy machine above all,
# take several times as long as one. The models' threads are others (CPU_THREADS).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
