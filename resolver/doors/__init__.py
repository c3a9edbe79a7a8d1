"""The HTTP services: `resolver serve`.

Each door is an interface that other programs know already: `match` and `jobs` take affiliations in
bulk, `reconcile` speaks to OpenRefine, `ror` answers as ROR's own API does. All of them ask one
`Matching`, through one `Batcher`, which answers together what comes at the same time.
"""
