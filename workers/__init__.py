"""The workers: a Celery application around `resolver.answering`, and the client that sends to it.

It is imported as `resolver.workers` only: under a second name there would be two applications, with
two sets of tasks.
"""

if __name__ != "resolver.workers":
    raise ImportError(f"import resolver.workers, not {__name__}")
