"""Celery around `resolver.answering.chunk`: queues, worker process, and the client that fills them.

Its name is `resolver.workers`: under a second one there would be two applications, with two sets of
tasks.
"""

if __name__ != "resolver.workers":
    raise ImportError(f"import resolver.workers, not {__name__}")
