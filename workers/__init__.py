"""Celery around `resolver.resolving`: queues, worker process, and the client that fills them."""
