"""A virtual fleet and market data: homes, batteries, prices, and an agent that speaks the public protocol.

Must not know the platform's insides: it stands for the world outside.
"""
