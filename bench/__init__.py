"""Benchmarks of rushes, side by side with peers in the same run: `python -m bench --help`."""
