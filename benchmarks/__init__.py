"""Ours against peers, interleaved in one run; `make bench` runs them all."""
