"""Postgres: the registry as loaded, the affiliations as sent, the answers as given.

=============  =====================================================================
`connection`   an engine for a URL, transactions, driver errors with a remedy
`migrating`    the schema: up, down, checked
`tables`       the tables and what each column means
`releases`     load a registry release, read the current one
`resolvers`    which release, models and settings an answer depends on
`links`        take affiliations in, store their outcomes and links
=============  =====================================================================

Analysts read the views `organisations`, `resolved_links` and `unresolved`: see docs/sql.md.
"""
