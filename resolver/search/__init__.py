"""Full-text search over the organisations of a release, for people who look one up.

`building.build` writes what is searched to a folder, once for each release.
`search.OrganisationSearch` answers from it: names and identifiers by `query`, single fields by
`advanced`, both in Lucene's syntax (`syntax`). The engine is tantivy. No model takes part, and no
answer about an affiliation.
"""
