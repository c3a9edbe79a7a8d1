"""Postgres: the registry as loaded, the affiliations as sent, the answers as given.

=============  =====================================================================
`connection`   an engine for a URL, transactions, driver errors with a remedy
`schema`       the schema: up, down, checked
`tables`       the tables and what each column means
`releases`     load a registry release, read it, compare two
`policies`     what records were sent with
`resolvers`    which release, models and settings an answer depends on; which are in use
`links`        take affiliations in, store their outcomes and links, keep the past
`overrides`    what persons say of texts
`stale`        which answers are to be given anew
`forgetting`   what is over and old goes for good
`history`      what became of answers that were given anew
`sampling`     some of the stored affiliations
`unresolved`   what was never linked
`locks`        what only one process may do at a time
=============  =====================================================================

Analysts read the views `resolved_links`, `link_history`, `unresolved` and others: see docs/sql.md.
"""
