"""Powerflock, an open virtual power plant: curves up, prices down."""

__version__ = "0.1.0"
