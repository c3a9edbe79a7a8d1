"""How many tokens affiliations and candidates have: what `benchmarks.gpu` makes its pairs by.

    RESOLVER_HOME=... python -m benchmarks.lengths --affiliations ../shared/data/gold/train.jsonl \\
        --tokenizer ../shared/models/multilingual-e5-small-trimmed --out benchmarks/lengths.json

Counts tokens of strings taken evenly from the file, and of the candidates that the first stage
finds for them in the index of RESOLVER_HOME. Separators are not counted.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from benchmarks.strings import DEPTH, evenly, pairs
from resolver import weights
from resolver.evaluation.gold import read_gold
from resolver.service.installation import Installation
from resolver.settings import load_settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--affiliations", type=Path, required=True, help="labelled strings")
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of a model")
    parser.add_argument("--strings", type=int, default=2000)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    texts = [row.affiliation for row in evenly(read_gold(options.affiliations), options.strings)]
    with Installation(load_settings()) as installation, installation.open_recall() as recall:
        found = pairs(recall, texts, depth=DEPTH)
    tokenizer = weights.read_tokenizer(options.tokenizer / weights.TOKENIZER)

    def counted(some: list[str]) -> dict[str, int]:
        encodings = tokenizer.encode_batch_fast(
            [weights.encodable(text) for text in some], add_special_tokens=False
        )
        return {str(n): count for n, count in sorted(Counter(map(len, encodings)).items())}

    histogram = {
        "affiliation": counted(list(dict.fromkeys(one for one, _ in found))),
        "document": counted([other for _, other in found]),
    }
    options.out.write_text(json.dumps(histogram, separators=(",", ":")) + "\n")
    for part, counts in histogram.items():
        total = sum(counts.values())
        mean = sum(int(n) * count for n, count in counts.items()) / total
        print(f"{part}: {total} texts, {mean:.1f} tokens on average")


if __name__ == "__main__":
    main()
