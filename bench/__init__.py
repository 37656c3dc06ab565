"""Benchmarks: ratios measured in one run, both sides interleaved. `python -m bench NAME --json`; see README.md."""
