#!/bin/bash
# Run once by the Postgres image, when its data folder is empty: makes the user that workers log in
# as. It may read and write rows, and change no table; migrations are the owner's.
set -euo pipefail
psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --set password="$(<"${WORKER_PASSWORD_FILE:-/run/secrets/worker_password}")" <<'SQL'
CREATE ROLE resolver_writer NOLOGIN;
CREATE ROLE resolver_reader NOLOGIN;
CREATE ROLE resolver_worker LOGIN PASSWORD :'password' IN ROLE resolver_writer;
SQL
