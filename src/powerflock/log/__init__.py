"""The log: ordered, durable batches per topic and partition, behind one port with several backends.

Must not know what the batches hold, nor who reads them.
"""
