"""What a setting means, the installation that settings describe, and the resolver version in use.

`parts` loads what the settings name; `installation` opens the database and the index, once;
`version` says what a resolver version records; `service` opens the version in use with all of it;
`embedded` runs Postgres and Redis where the settings name none.
"""
