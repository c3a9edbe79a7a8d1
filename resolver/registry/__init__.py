"""The registry: ROR's published releases are fetched, read in a stream, and made organisations.

`zenodo` downloads a release, `dump` reads its file, `record` converts a record, and `ror_id` is the
only reader of ROR ids.
"""
