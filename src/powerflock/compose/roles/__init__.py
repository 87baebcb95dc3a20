"""The plant as processes of their own on one log: gateway, twins, autobidder, historian and api.

Each module puts one role together out of the same parts that `live` runs in one process. Kafka says who owns what;
nothing here elects, replicates or routes by itself.
"""
