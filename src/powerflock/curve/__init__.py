"""Convex piecewise-linear algebra: the one object everything flexible is described by.

Must not know sites, markets or devices; only slopes, lengths, prices and powers.
"""
