"""The only place where concrete parts are put together: the plant in virtual time (`virtual`) and live (`live`).

Everything else gets its parts handed over. Holds no rule of its own: what it computes is which part meets which.
"""
