"""Masked language modelling for people who ship encoders."""

__version__ = "0.1.0"
