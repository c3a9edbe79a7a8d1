#!/bin/bash
# Run once by the Postgres image, when its data folder is empty: makes the users that workers and
# analysts log in as. One may read and write rows, the other read them; neither changes a table:
# migrations are the owner's.
set -euo pipefail
psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --set worker="$(<"${WORKER_PASSWORD_FILE:-/run/secrets/worker_password}")" \
    --set analyst="$(<"${ANALYST_PASSWORD_FILE:-/run/secrets/analyst_password}")" <<'SQL'
CREATE ROLE resolver_writer NOLOGIN;
CREATE ROLE resolver_reader NOLOGIN;
CREATE ROLE resolver_worker LOGIN PASSWORD :'worker' IN ROLE resolver_writer;
CREATE ROLE resolver_analyst LOGIN PASSWORD :'analyst' IN ROLE resolver_reader;
SQL
