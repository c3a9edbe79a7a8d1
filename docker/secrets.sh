#!/bin/sh
# Makes the passwords that docker-compose.yml reads, as files, once: what is there stays.
#
#   docker/secrets.sh [FOLDER]        without one: secrets/
#
# POSTGRES_PORT and RABBITMQ_PORT, where .env has others than 5432 and 5672, must be in the
# environment: they are in the URLs for who is outside of the containers.
#
# Compose shows a file to a container with the owner and the mode that it has here, and the
# containers are users of their own. So the files can be read by all, and the folder by its owner
# alone: on this machine nobody else gets to them.
set -eu
folder=${1:-secrets}
mkdir -p "$folder"
chmod 700 "$folder"

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# keep NAME: the file's content from stdin, unless it is there
keep() {
    if [ -e "$folder/$1" ]; then
        cat >/dev/null
        return
    fi
    (umask 022 && cat >"$folder/.$1.part")
    mv "$folder/.$1.part" "$folder/$1"
    echo "made $folder/$1"
}

password() { random | keep "$1"; }

password postgres_password
password worker_password
password analyst_password
password rabbitmq_password
password qdrant_api_key
password qdrant_read_only_api_key

owner=$(cat "$folder/postgres_password")
worker=$(cat "$folder/worker_password")
analyst=$(cat "$folder/analyst_password")
queue=$(cat "$folder/rabbitmq_password")
key=$(cat "$folder/qdrant_api_key")
reading=$(cat "$folder/qdrant_read_only_api_key")

printf 'postgresql://resolver:%s@postgres:5432/resolver' "$owner" | keep owner_url
printf 'postgresql://resolver_worker:%s@postgres:5432/resolver' "$worker" | keep database_url
printf 'amqp://resolver:%s@rabbitmq:5672//' "$queue" | keep broker_url
# For who is on this machine and in no container: analysts, and clients that send records.
printf 'postgresql://resolver_analyst:%s@127.0.0.1:%s/resolver' "$analyst" "${POSTGRES_PORT:-5432}" \
    | keep analyst_url
printf 'amqp://resolver:%s@127.0.0.1:%s//' "$queue" "${RABBITMQ_PORT:-5672}" | keep client_url
# Neither server reads a password from a file that holds it alone.
printf 'default_user = resolver\ndefault_pass = %s\n' "$queue" | keep rabbitmq.conf
printf 'service:\n  api_key: "%s"\n  read_only_api_key: "%s"\n' "$key" "$reading" | keep qdrant.yaml

if ! grep --quiet read_only_api_key "$folder/qdrant.yaml"; then
    echo "error: $folder/qdrant.yaml is of an earlier version and has one key: remove it, run this again," \
        "and restart qdrant" >&2
    exit 1
fi
