"""Generative adversarial networks, small enough to read: the library that the book computes with."""

__version__ = "0.1.0"
