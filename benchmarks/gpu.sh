#!/bin/sh
# What a machine with a GPU does, end to end: pairs a second of the engine, then strings through the
# queue, workers on all cores and one scorer into Postgres. Some 25 minutes.
#
#   benchmarks/gpu.sh OUT REGISTRY GOLD [RERANKER]
#
# Writes OUT/gpu.json, OUT/scorer.json, OUT/throughput.json. REGISTRY is a release of ROR, GOLD
# labelled strings (JSON lines). Without RERANKER, a model on this machine, one of the same size with
# random weights is scored: the same work, and links that mean nothing. DRY=--dry-run takes a tiny
# model on the CPU, COUNT=200 so many strings, to see that all of it runs.
# Needs: pip install '.[embedded,http,models]', and no network.
set -eu
out=$1 registry=$2 gold=$3 reranker=${4:-}
processes=${PROCESSES:-$(nproc)}
cd "$(dirname "$0")/.."
mkdir -p "$out"
command -v nvidia-smi > /dev/null && nvidia-smi > "$out/nvidia-smi.txt"
python -m benchmarks.gpu ${DRY:-} --json "$out/gpu.json"
python -m benchmarks.scorer --clients 1 "$processes" --cores "$processes" --json "$out/scorer.json"
if [ -z "$reranker" ]; then
    reranker=$out/random-model
    python -m benchmarks.gpu ${DRY:-} --save "$reranker"
fi
RESOLVER_RERANKER=$reranker python -m benchmarks.throughput --scorer --processes "$processes" \
    --registry "$registry" --gold "$gold" --count "${COUNT:-60000}" --json "$out/throughput.json"
rm -rf "$out/random-model"
