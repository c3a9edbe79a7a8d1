"""The whole way from gold strings and a registry to models that the resolver loads."""

from __future__ import annotations

import dataclasses
import logging
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import orjson

from resolver.domain.organisation import Organisation, OrganisationStatus
from resolver.reranker import Calibration, Reranker
from resolver.reranker.calibration import CALIBRATION, write_calibration
from resolver.reranker.cross_encoder import load_cross_encoder
from resolver.reranker.onnx import load_onnx
from resolver.training import calibration
from resolver.training.augmentation import Material, read_material, synthetic
from resolver.training.encoder import EncoderTraining, text_pairs, train_encoder
from resolver.training.export import export_reranker
from resolver.training.pairs import (
    FirstStage,
    Labelled,
    LabelledPair,
    pairs,
    read_labelled,
    split,
)
from resolver.training.ranking import (
    Ranking,
    Shortlist,
    first_stage_order,
    judged,
    ranking,
    scores,
    shortlists,
)
from resolver.training.reranker import RerankerTraining, train_reranker

log = logging.getLogger(__name__)

EXPORT_SAMPLE = 400
"""Pairs that fix the activation scales of the ONNX form: some 18,000 tokens."""

REPORT = "report.json"


@dataclass(frozen=True, slots=True)
class Data:
    """What to learn from. The defaults are those of the built-in models.

    `gold` are files of labelled strings (`pairs.read_labelled`), `material` an annotated file
    for departments and addresses (`augmentation.read_material`; None: names and places only).
    `synthetic_strings` are made from the registry; of the pairs that they give, the first
    `synthetic_pairs` are used (None: all).
    """

    gold: tuple[Path, ...]
    material: Path | None = None
    negatives: int = 5
    synthetic_strings: int = 45_000
    synthetic_pairs: int | None = 85_000
    synthetic_negatives: int = 3


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a reranker training, measured on strings of held-out organisations.

    `checkpoint` ranks by the trained model in torch, `exported` by its ONNX form, None where
    the architecture has none.
    """

    pairs: int
    positives: int
    held_out_strings: int
    first_stage: Ranking
    checkpoint: Ranking
    exported: Ranking | None
    calibration: Calibration


def make_reranker(
    data: Data,
    options: RerankerTraining,
    organisations: Iterable[Organisation],
    first_stage: FirstStage,
    *,
    export: bool = True,
) -> Report:
    """Mine pairs, fine-tune, export, calibrate and measure; all of it lands in `options.out`.

    The ONNX form goes to ``<out>/onnx``, which `resolver.reranker.loading.load` takes; the
    checkpoint itself stays in ``<out>``. Each has its own calibration: that of the form served.

    Raises:
        GoldError: a line of a gold or material file cannot be read.
        ModelError: there is nothing to learn from, or the base does not fit.
    """
    active, by_id = _known(organisations)
    train, rest = split(_gold(data))
    log.info("%d strings to train on, %d of held-out organisations", len(train), len(rest))
    learnt = list(pairs(train, by_id, first_stage, negatives=data.negatives, seed=options.seed))
    made = synthetic(active, _material(data), count=data.synthetic_strings, seed=options.seed)
    learnt += islice(
        pairs(
            list(made),
            by_id,
            first_stage,
            negatives=data.synthetic_negatives,
            # Another seed than that of the gold strings, so that the draws do not repeat.
            seed=options.seed + 2,
        ),
        data.synthetic_pairs,
    )
    train_reranker(options, learnt)
    lists = shortlists(rest, by_id, first_stage)
    served, exported = load_cross_encoder(str(options.out), options.device), None
    checkpoint, fitted = _measure(served, lists)
    write_calibration(fitted, options.out / CALIBRATION)
    if export:
        folder = options.out / "onnx"
        export_reranker(options.out, folder, _sample(learnt, options.seed))
        exported, fitted = _measure(load_onnx(folder, name=str(folder)), lists)
        write_calibration(fitted, folder / CALIBRATION)
    report = Report(
        pairs=len(learnt),
        positives=sum(pair.label for pair in learnt),
        held_out_strings=len(lists),
        first_stage=ranking(lists, first_stage_order(lists)),
        checkpoint=checkpoint,
        exported=exported,
        calibration=fitted,
    )
    content = orjson.dumps(dataclasses.asdict(report), option=orjson.OPT_INDENT_2)
    (options.out / REPORT).write_bytes(content + b"\n")
    return report


def make_encoder(
    data: Data, options: EncoderTraining, organisations: Iterable[Organisation]
) -> Path:
    """Distil and fine-tune a static encoder; returns its folder, which `load` takes.

    Gold strings count twice beside the synthetic ones.

    Raises:
        GoldError: a line of a gold or material file cannot be read.
        ModelError: there is nothing to learn from, or the base does not fit.
    """
    active, by_id = _known(organisations)
    train, _ = split(_gold(data))
    made = synthetic(active, _material(data), count=data.synthetic_strings, seed=options.seed)
    learnt = text_pairs([*train, *train, *made], by_id, seed=options.seed)
    return train_encoder(options, list(learnt))


def _gold(data: Data) -> list[Labelled]:
    return [item for path in data.gold for item in read_labelled(path)]


def _material(data: Data) -> Material:
    return read_material(data.material) if data.material else Material((), (), ())


def _known(
    organisations: Iterable[Organisation],
) -> tuple[list[Organisation], dict[str, Organisation]]:
    """The active ones, of which strings are made, and all that are not withdrawn, by id."""
    kept = [o for o in organisations if o.status is not OrganisationStatus.WITHDRAWN]
    active = [o for o in kept if o.status is OrganisationStatus.ACTIVE]
    return active, {organisation.ror_id: organisation for organisation in kept}


def _sample(learnt: Sequence[LabelledPair], seed: int) -> list[tuple[str, str]]:
    rng = random.Random(seed)  # noqa: S311
    drawn = rng.sample(learnt, min(EXPORT_SAMPLE, len(learnt)))
    return [(pair.affiliation, pair.document) for pair in drawn]


def _measure(reranker: Reranker, lists: Sequence[Shortlist]) -> tuple[Ranking, Calibration]:
    scored = scores(lists, reranker)
    return ranking(lists, scored), calibration.fit(*judged(lists, scored))
