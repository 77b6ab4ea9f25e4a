"""The loop, and what it needs: optimiser and schedule, checkpoints, telemetry."""
