"""What an operator sees: logs, metrics, a heartbeat."""
