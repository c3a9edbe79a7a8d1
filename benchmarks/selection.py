"""Of the answers that a release changes, how many are selected, and at what cost.

    REGISTRY=../shared/data/registry
    python -m benchmarks.selection FOLDER --strings 13000 --made-up \\
        --releases $REGISTRY/ror-v2.8.json.gz $REGISTRY/ror-v2.9.json.gz \\
        --texts ../shared/data/gold/dev/*.jsonl ../shared/data/gold/train.jsonl

All texts are resolved by every release. An answer has changed where it links to other
organisations, or has another reason for no link. Then answers are selected from each release to
each other one. The cost is in processor time, without the database: that of the selection and that
of resolving what is selected, against that of resolving all.

Releases and answers are kept in FOLDER: another run goes on there. The reranker's scores are kept
between the releases of a text, so only the first release says what resolving costs. `FILE:6000` are
6,000 texts of a file, drawn at random. `--made-up` adds a release that is made of the last one
(`benchmarks.made_up_release`). `--fit` prints what `resolver.release.prediction` weighs, fitted on
these answers, and what several limits find when each fifth of the texts is predicted by weights
that were fitted on the others.
"""

from __future__ import annotations

import random
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, fields, replace
from itertools import chain, permutations
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks import report
from benchmarks.made_up_release import made_up
from benchmarks.release import answer
from benchmarks.throughput import embedded
from resolver.database import releases, schema
from resolver.database.due_answers import CarriedAffiliation, CarriedLink, CarriedNearest
from resolver.evaluation.gold import read_gold
from resolver.index.build import INDEXED
from resolver.matching.judge_file import load_sieve
from resolver.matching.matcher import Matcher
from resolver.matching.outcome import Outcome
from resolver.registry.release_name import version_in
from resolver.release import prediction, reach
from resolver.release.prediction import Signs
from resolver.release.update import update
from resolver.reranker import Pair, Reranker
from resolver.reranker.odds import probability
from resolver.service import parts
from resolver.service.installation import Installation
from resolver.text.affiliation import normalise

CHUNK = 1_000
"""Texts whose answers are kept in one file."""

SLICE = 64
"""Texts resolved together."""

LIMITS = (0.002, 0.003, 0.004, 0.005, 0.007, 0.01, 0.02)

FOLDS = 5


@dataclass(frozen=True)
class Answers:
    """Outcomes of texts by each release, in the order of the texts, and the seconds of processor
    time that they took."""

    texts: Sequence[str]
    outcomes: dict[str, list[Outcome]]
    seconds: dict[str, float]


@dataclass(frozen=True)
class Selected:
    """What a release changes and what is selected of it, each of shape (texts,). `signs` are of
    the statements; `owner` has the number of each one's text."""

    pair: str
    texts: Sequence[str]
    changed: npt.NDArray[np.bool_]
    links: npt.NDArray[np.bool_]
    marked: npt.NDArray[np.bool_]
    selected: npt.NDArray[np.bool_]
    milliseconds: float
    signs: Signs
    owner: npt.NDArray[np.int64]


class Kept:
    """A reranker that reads no pair twice."""

    def __init__(self, reranker: Reranker) -> None:
        self._reranker = reranker
        self.scores: dict[Pair, float] = {}

    def score(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        new = [pair for pair in pairs if pair not in self.scores]
        if new:
            self.scores.update(zip(new, self._reranker.score(new).tolist(), strict=True))
        return np.array([self.scores[pair] for pair in pairs], np.float32)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reranker, name)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--releases", type=Path, nargs="+", required=True)
    parser.add_argument("--texts", nargs="+", required=True, help="gold files")
    parser.add_argument("--strings", type=int, default=2_000)
    parser.add_argument("--made-up", action="store_true")
    parser.add_argument("--fit", action="store_true")
    options = parser.parse_args(arguments)
    figures = report.header(options)
    options.folder.mkdir(parents=True, exist_ok=True)
    paths = list(options.releases)
    if options.made_up:
        paths.append(made_up(paths[-1], options.folder)[0])
    texts = list(dict.fromkeys(filter(None, map(normalise, chain(*map(drawn, options.texts))))))
    random.Random(0).shuffle(texts)
    settings = embedded(options.folder / "home", None)
    with Installation(settings) as installation:
        schema.upgrade(installation.engine_of_any_schema)
        names = loaded(installation, paths)
        chunks = list(answered(installation, names, texts[: options.strings], options.folder))
        every = [selected(installation, *pair, chunks) for pair in permutations(names, 2)]
    first = names[0]
    cost = 1_000 * sum(one.seconds[first] for one in chunks) / sum(len(c.texts) for c in chunks)
    figures |= {"milliseconds": cost, "pairs": [figures_of(one, cost) for one in every]}
    report.finish(figures, tables(figures), options.json)
    if options.fit:
        fit(every)


def drawn(argument: str) -> list[str]:
    """The texts of a gold file, or of ``FILE:COUNT`` so many."""
    name, _, count = argument.partition(":")
    texts = [row.affiliation for row in read_gold(Path(name))]
    if not count:
        return texts
    random.Random(1).shuffle(texts)
    return texts[: int(count)]


def loaded(installation: Installation, paths: Sequence[Path]) -> list[str]:
    """The names of the releases, each of which has an index."""
    there = {manifest.release for manifest in installation.store.versions()}
    names = []
    for path in paths:
        name = version_in(path.name)
        if name not in there:
            print(f"{path.name} is taken in …", file=sys.stderr, flush=True)
            name = update(installation, path, force=True, keep=99).load.version
        assert name is not None
        names.append(name)
    return names


def answered(
    installation: Installation, names: Sequence[str], texts: Sequence[str], folder: Path
) -> Iterator[Answers]:
    """The answers to all texts, a chunk after the other; those that are kept are read."""
    with ExitStack() as stack:
        matchers: dict[str, Matcher] = {}
        for number, start in enumerate(range(0, len(texts), CHUNK)):
            path = folder / f"answers-{number:03}.msgpack"
            if path.exists():
                kept = msgspec.msgpack.decode(path.read_bytes(), type=Answers)
                if set(names) <= kept.outcomes.keys():
                    yield kept
                    continue
            if not matchers:
                models = stack.enter_context(closing(parts.load_models(installation.settings)))
                reranker = Kept(models.reranker)
                models = replace(models, reranker=reranker)
                of = {m.release: m.version for m in installation.store.versions()}
                for name in names:
                    index = stack.enter_context(closing(installation.store.open(of[name])))
                    matchers[name] = parts.make_matcher(installation.settings, index, models)
            chunk = texts[start : start + CHUNK]
            outcomes, seconds = {}, {}
            for name, matcher in matchers.items():
                began = time.process_time()
                slices = (chunk[i : i + SLICE] for i in range(0, len(chunk), SLICE))
                outcomes[name] = list(chain.from_iterable(map(matcher.resolve, slices)))
                seconds[name] = time.process_time() - began
            reranker.scores.clear()
            answers = Answers(chunk, outcomes, seconds)
            path.write_bytes(msgspec.msgpack.encode(answers))
            print(f"{start + len(chunk):,} texts are resolved", file=sys.stderr, flush=True)
            yield answers


def selected(
    installation: Installation, before: str, after: str, chunks: Sequence[Answers]
) -> Selected:
    """What would be selected of the answers of one release, were another one taken in."""
    engine, store = installation.engine, installation.store
    settings = installation.settings
    ids = {release.version: release.id for release in releases.releases(engine)}
    version = next(m.version for m in store.versions() if m.release == after)
    changes = releases.changed_organisations(engine, ids[before], ids[after])
    names = reach.changed_names(changes, INDEXED)
    encoder = parts.load_encoder(settings)
    threshold = parts.make_policy(settings).accept_probability
    old = [carried(o, threshold) for chunk in chunks for o in chunk.outcomes[before]]
    outcomes = [
        pair for c in chunks for pair in zip(c.outcomes[before], c.outcomes[after], strict=True)
    ]
    with closing(store.open(version)) as index:
        search = reach.Search(
            reach.Names.of(names.values(), store.statistics(version), encoder),
            load_sieve(settings.judge, encoder),
            index.organisations,
        )
        search.may_change(old[:10])
        began = time.process_time()
        slices = [old[i : i + CHUNK] for i in range(0, len(old), CHUNK)]
        found = list(chain.from_iterable(map(search.may_change, slices)))
        spent = time.process_time() - began
        stated = list(map(reach.by_statement, old))
        signs = search.signs(list(chain.from_iterable(stated)))
    marked = np.array([_links_to(first, names.keys()) for first, _ in outcomes], np.bool_)
    return Selected(
        pair=f"{before} → {after}",
        texts=[text for chunk in chunks for text in chunk.texts],
        changed=np.array([answer(a) != answer(b) for a, b in outcomes], np.bool_),
        links=np.array([answer(a)[1] != answer(b)[1] for a, b in outcomes], np.bool_),
        marked=marked,
        selected=marked | np.array(found, np.bool_),
        milliseconds=1_000 * spent / len(old),
        signs=signs,
        owner=np.repeat(np.arange(len(old)), [len(statements) for statements in stated]),
    )


def carried(outcome: Outcome, threshold: float) -> CarriedAffiliation:
    """An outcome as the database gives it to a selection."""
    links = []
    for link in outcome.links:
        scores = (link.evidence.sparse, link.evidence.dense) if link.evidence else (None, None)
        links.append(
            CarriedLink(link.ror_id, link.matched_name, link.probability, threshold, *scores)
        )
    near = outcome.nearest
    nearest = (CarriedNearest(near.probability, threshold),) if near else ()
    return CarriedAffiliation(0, outcome.affiliation, tuple(links), nearest)


def _links_to(outcome: Outcome, changed: Any) -> bool:
    """Whether an outcome is marked by what it links to (`due_answers.mark_page`)."""
    return any(
        link.ror_id in changed
        or not changed.isdisjoint(link.stands_for)
        or (link.evidence is not None and link.evidence.runner_up in changed)
        for link in outcome.links
    )


def figures_of(one: Selected, cost: float) -> dict[str, Any]:
    return {
        "pair": one.pair,
        "texts": len(one.texts),
        "marked": float(one.marked.mean()),
        "selected": float(one.selected.mean()),
        "changed": int(one.changed.sum()),
        "found": int((one.changed & one.selected).sum()),
        "links": int(one.links.sum()),
        "links_found": int((one.links & one.selected).sum()),
        "milliseconds": one.milliseconds,
        "cost": float(one.selected.mean()) + one.milliseconds / cost,
    }


def tables(figures: dict[str, Any]) -> str:
    header = [
        "releases", "changed", "found", "share", "links changed", "found", "linked to a change",
        "selected", "ms a text", "cost",
    ]  # fmt: skip
    rows = [
        [
            one["pair"],
            f"{one['changed']:,}",
            f"{one['found']:,}",
            _percent(one["found"] / max(one["changed"], 1)),
            f"{one['links']:,}",
            f"{one['links_found']:,}",
            _percent(one["marked"]),
            _percent(one["selected"]),
            f"{one['milliseconds']:.2f}",
            _percent(one["cost"]),
        ]
        for one in figures["pairs"]
    ]
    texts = figures["pairs"][0]["texts"]
    return (
        f"{texts:,} texts; resolving one takes {figures['milliseconds']:.1f} ms.\n\n"
        + report.table(header, rows)
    )


def _percent(share: float) -> str:
    return report.percent(share) + "%"


def fit(every: Sequence[Selected]) -> None:
    """Print the weights, and what limits of the probability find."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    signs = Signs(
        **{f.name: np.concatenate([getattr(o.signs, f.name) for o in every]) for f in fields(Signs)}
    )
    ends = np.cumsum([0, *(len(one.texts) for one in every)])
    owner = np.concatenate([one.owner + end for one, end in zip(every, ends, strict=False)])
    changed, marked = (
        np.concatenate([getattr(one, name) for one in every]) for name in ("changed", "marked")
    )
    folds = np.array([zlib.crc32(text.encode()) % FOLDS for one in every for text in one.texts])
    # A change of a text of several statements does not say which of them it was.
    of_one = (np.bincount(owner)[owner] == 1) & ~marked[owner]
    rows = prediction.table(signs)

    def weights(which: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.float64], float]:
        scaler = StandardScaler().fit(rows[which])
        model = LogisticRegression(max_iter=1_000)
        model.fit(scaler.transform(rows[which]), changed[owner][which])
        weighed = model.coef_[0] / scaler.scale_
        return weighed, float(model.intercept_[0] - weighed @ scaler.mean_)

    held_out = np.zeros(len(rows))
    for fold in range(FOLDS):
        here = folds[owner] == fold
        weighed, intercept = weights(of_one & ~here)
        held_out[here] = probability(rows[here] @ weighed + intercept)
    of_text = np.zeros(len(folds))
    np.maximum.at(of_text, owner, held_out)
    header, lines = ["releases", *(f"from {limit}" for limit in LIMITS)], []
    for one, start, end in zip(every, ends, ends[1:], strict=False):
        chosen = [one.marked | (of_text[start:end] >= limit) for limit in LIMITS]
        cells = [
            f"{(one.changed & which).sum()} of {one.changed.sum()}, {_percent(which.mean())}"
            for which in chosen
        ]
        lines.append([one.pair, *cells])
    print("\n" + report.table(header, lines) + "\n")
    weighed, intercept = weights(of_one)
    print(f"INTERCEPT = {intercept:.3f}\nWEIGHTS = {{")
    for feature, weight in zip(prediction.FEATURES, weighed, strict=True):
        print(f'    "{feature.name}": {weight:.3f},')
    print("}")


if __name__ == "__main__":
    main()
