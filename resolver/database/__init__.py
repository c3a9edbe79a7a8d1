"""Postgres: the registry as loaded, the affiliations as sent, the answers as given.

===================  ===============================================================
`connection`         an engine for a URL, transactions, driver errors with a remedy
`revision`           which schema is there, and which one is needed
`schema`             the schema: up, down, checked
`tables`             the tables and what each column means
`definitions`        the files of the views (``views/``) and functions (``functions/``)
`releases`           load a registry release, read it, compare two
`policies`           what records were sent with
`resolver_versions`  which release, models and settings an answer depends on; which are in use
`records`            what sources send: take it in, refuse, withdraw
`answers`            save outcomes and links, and keep those before
`copying`            rows and texts on their way into Postgres
`overrides`          curators' decisions about texts
`due_answers`        which answers are to be given again
`forgetting`         delete for good what is over and old enough
`history`            what became of answers that were given again
`sampling`           some of the stored affiliations
`unmatched`          affiliations that were never linked
`monitoring`         the state of the database in a few numbers
`querying`           read-only queries for analysts
`dumping`            the database as one file
`locks`              what only one process may do at a time
===================  ===============================================================

Analysts read the views `resolved_links`, `link_history`, `unmatched` and others: see docs/sql.md.
"""
