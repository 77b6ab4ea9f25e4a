"""The server: HTTP in, batches through worker processes, honest answers out. Needs no torch."""
