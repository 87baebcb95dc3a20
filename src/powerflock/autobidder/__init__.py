"""The durable cycle: what the log has goes into the ring, what the ring decides goes to the log, all or nothing."""
