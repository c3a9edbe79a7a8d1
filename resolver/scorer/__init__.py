"""The scorer: one process that computes the reranker for the workers of its machine.

Worker processes tokenise and send token ids over a Unix socket (`resolver.reranker.scorer`). What
they send while a batch is computed becomes the next batch, so that one GPU is kept busy by many
processes that are busy with other work.
"""
