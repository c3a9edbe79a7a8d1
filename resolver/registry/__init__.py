"""The registry: ROR's published releases, fetched, read in a stream, and turned into organisations.

`zenodo` downloads a release, `dump` reads its file, `record` converts one record.
"""
