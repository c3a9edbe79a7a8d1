#!/bin/sh
# Makes the passwords that docker-compose.yml reads, as files, once: what is there stays.
#
#   docker/secrets.sh [FOLDER]        without one: secrets/
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
password rabbitmq_password
password qdrant_api_key

owner=$(cat "$folder/postgres_password")
worker=$(cat "$folder/worker_password")
queue=$(cat "$folder/rabbitmq_password")
key=$(cat "$folder/qdrant_api_key")

printf 'postgresql://resolver:%s@postgres:5432/resolver' "$owner" | keep owner_url
printf 'postgresql://resolver_worker:%s@postgres:5432/resolver' "$worker" | keep database_url
printf 'amqp://resolver:%s@rabbitmq:5672//' "$queue" | keep broker_url
# Neither server reads a password from a file that holds it alone.
printf 'default_user = resolver\ndefault_pass = %s\n' "$queue" | keep rabbitmq.conf
printf 'service:\n  api_key: "%s"\n' "$key" | keep qdrant.yaml
