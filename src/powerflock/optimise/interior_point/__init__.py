"""The interior-point method under `coupled` and `fleet`: many homes' linear programmes, answered by prices.

Read it in this order. One home: `boxes` (its programme as quantities in boxes), `riccati` and `newton` (a step, an
interval at a time), `mehrotra` (the loop), `repair` (from a point to a plan). Many homes: `buckets` (their columns),
`response` (how a home answers prices), `blocks` (homes a thread takes at a time), `network` and `rows` (what sums of
homes must keep, on a tree), `search` (the rounds), `settle` (the end). Must not know tariffs, bids or kinds of devices.
"""
