"""The whole way from gold strings and a registry to models that the resolver loads."""

from __future__ import annotations

import dataclasses
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path

import orjson

from resolver.errors import GoldError, ModelError
from resolver.evaluation.metrics import Ranking
from resolver.matching.sieve import Sieve
from resolver.registry.organisation import Organisation, OrganisationStatus
from resolver.reranker import Calibration, Reranker
from resolver.reranker.calibration import CALIBRATION, write_calibration
from resolver.reranker.cross_encoder import load_cross_encoder
from resolver.reranker.onnx import load_onnx
from resolver.training import calibration, card, processes, run
from resolver.training.affiliations import affiliation_pairs, apart, mixed, samples
from resolver.training.augmentation import Material, joint, read_material, synthetic
from resolver.training.card import About
from resolver.training.encoder import EncoderTraining, text_pairs, train_encoder
from resolver.training.export import export_reranker
from resolver.training.mean import write_mean
from resolver.training.pairs import (
    FirstStage,
    Labelled,
    LabelledPair,
    fold,
    pairs,
    read_labelled,
    split,
)
from resolver.training.ranking import (
    LabelledShortlist,
    first_stage_order,
    judged,
    ranking,
    scores,
    shortlists,
)
from resolver.training.report import Data, MeanReport, TrainingReport
from resolver.training.reranker import RerankerTraining, TrainingStep, fit_reranker
from resolver.weights import files

log = logging.getLogger(__name__)

EXPORT_SAMPLE = 400
"""Pairs that fix the activation scales of the ONNX form: some 18,000 tokens."""

ShownProgress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Takes what is counted, and how many there are; gives a context whose value is called with how
many are done, as `resolver.cli.terminal.progress` does."""


def _not_shown(counted: str, total: int) -> AbstractContextManager[Callable[[int], None]]:  # noqa: ARG001
    return nullcontext(lambda _: None)


def prepare_reranker(
    data: Data,
    options: RerankerTraining,
    organisations: Iterable[Organisation],
    first_stage: FirstStage,
    *,
    reranker: Reranker | None = None,
    sieve: Sieve | None = None,
    overwrite: bool = False,
    progress: ShownProgress = _not_shown,
) -> None:
    """Mine the data that `finish_reranker` trains and measures on, into `options.out`.

    With a `reranker` the hardest wrong candidates are those that it scores highest, with a `sieve`
    of those that the sieve passes.

    `progress` shows how far it is.

    Only the main process calls this. A run with the same options and data is continued: what it
    has mined is kept. Neither the registry nor the first stage is needed afterwards.

    Raises:
        GoldError: a line of a gold or material file cannot be read.
        ModelError: there is nothing to learn from, or the folder holds a finished model or
            another run.
    """
    organisations = list(organisations)
    started = run.identity(
        training={
            key: value
            for key, value in dataclasses.asdict(options).items()
            if key not in {"out", "device", "threads", "progress"}
        },
        data={
            **{
                key: value
                for key, value in dataclasses.asdict(data).items()
                if key not in {"gold", "material"}
            },
            "files": _files(data),
            "registry": run.registry_digest(organisations),
            "hard": reranker.fingerprint if reranker else None,
            "sieved": sieve is not None,
        },
        processes=processes.join(options.device).num_processes,
    )
    if run.begin(options.out, started, overwrite=overwrite) is run.Stage.MINED:
        log.info("going on with the pairs mined before, in %s", options.out)
        return
    run.save(
        options.out,
        _mine(data, options.seed, organisations, first_stage, reranker, sieve, progress),
    )


def _mine(
    data: Data,
    seed: int,
    organisations: Sequence[Organisation],
    first_stage: FirstStage,
    reranker: Reranker | None,
    sieve: Sieve | None,
    progress: ShownProgress,
) -> run.MinedData:
    active, by_id = _known(organisations)
    train, rest = split(_gold(data))
    if data.strings_apart:
        train = apart(train, rest)
    log.info("%d strings to train on, %d of held-out organisations", len(train), len(rest))
    if data.fold is not None:
        train = [item for item in train if fold(item.affiliation, data.folds) != data.fold]
    if data.gold_strings is not None and data.gold_strings < len(train):
        train = random.Random(seed).sample(train, data.gold_strings)  # noqa: S311
    # Another seed for made strings than for gold ones, so that the draws do not repeat.
    gold_pairs, made_pairs = (
        partial(
            pairs,
            organisations=by_id,
            first_stage=first_stage,
            negatives=negatives,
            hardest=data.hardest,
            depth=data.candidates,
            seed=own_seed,
            reranker=reranker,
            sieve=sieve,
        )
        for negatives, own_seed in (
            (data.negatives, seed),
            (data.synthetic_negatives, seed + 2),
        )
    )
    with progress("strings mined", len(train)) as report:
        learnt = list(gold_pairs(train, progress=report))
    counts = {"training strings": len(train), "pairs from gold strings": len(learnt)}
    if data.synthetic_strings or data.joint_strings:
        material = _material(data)
        made = [
            *joint(active, material, count=data.joint_strings, seed=seed),
            *synthetic(active, material, count=data.synthetic_strings, seed=seed),
        ]
        with progress("made-up strings mined", len(made)) as report:
            learnt += islice(made_pairs(made, progress=report), data.synthetic_pairs)
        counts["pairs from made-up strings"] = len(learnt) - counts["pairs from gold strings"]
    together: list[LabelledPair] = []
    if data.affiliation_positives:
        together = list(
            affiliation_pairs(
                train,
                by_id,
                first_stage,
                positives=data.affiliation_positives,
                negatives=data.affiliation_negatives,
                seed=seed,
            )
        )
        counts["pairs of two gold strings"] = len(together)
    learnt = mixed(learnt, together, share=data.affiliation_share, most=data.most_pairs, seed=seed)
    evaluation = samples(
        rest,
        by_id,
        first_stage,
        negatives=data.evaluation_negatives,
        limit=data.evaluation_queries,
        seed=seed,
    )
    if not evaluation:
        log.warning("no string of a held-out organisation: nothing evaluates the training")
    lists = shortlists(rest, by_id, first_stage)
    counts |= {
        "training pairs": len(learnt),
        "of them right": sum(pair.label for pair in learnt),
        "held-out strings": len(rest),
        "evaluation queries": len(evaluation),
        "evaluation pairs": sum(len(s.positive) + len(s.negative) for s in evaluation),
    }
    return run.MinedData(tuple(learnt), tuple(evaluation), tuple(lists), counts)


def finish_reranker(
    data: Data,
    options: RerankerTraining,
    about: About,
    *,
    export: bool = True,
    watch: Callable[[TrainingStep], None] | None = None,
) -> TrainingReport | None:
    """Train on what `prepare_reranker` mined; export, calibrate, measure, write the card.

    Every process of a training calls this; it returns None in all but the main one. The ONNX form
    goes to ``<out>/onnx``, the checkpoint is ``<out>`` itself; each has its own calibration.

    Raises:
        ModelError: the base does not fit, or training options contradict each other.
    """
    out = options.out
    state = processes.join(options.device)
    state.wait_for_everyone()
    learnt = run.load(out)
    started = datetime.now(UTC)
    training = fit_reranker(options, learnt.pairs, learnt.samples, resume=True, watch=watch)
    if not state.is_main_process:
        return None
    lists = learnt.shortlists
    # On the device that has just trained, not the one of a process's number.
    served = load_cross_encoder(str(out), str(state.device))
    checkpoint, fitted = _measure(served, lists, out)
    exported = None
    if export and _has_onnx_form(out):
        folder = out / "onnx"
        export_reranker(out, folder, _sample(learnt.pairs, options.seed))
        exported, fitted = _measure(load_onnx(folder, name=str(folder)), lists, folder)
    report = TrainingReport(
        pairs=len(learnt.pairs),
        positives=sum(pair.label for pair in learnt.pairs),
        held_out_strings=len(lists),
        first_stage=ranking(lists, first_stage_order(lists)),
        checkpoint=checkpoint,
        exported=exported,
        calibration=fitted,
        before=training.before,
        after=training.after,
        best=training.best,
    )
    content = orjson.dumps(dataclasses.asdict(report), option=orjson.OPT_INDENT_2)
    (out / run.REPORT).write_bytes(content + b"\n")
    made = card.FinishedTraining(
        options=options,
        data=data,
        files=_files(data),
        counts=learnt.counts,
        training=training,
        report=report,
        about=about,
        device=str(state.device),
        processes=state.num_processes,
        started=started,
        ended=datetime.now(UTC),
    )
    (out / run.CARD).write_text(card.text(made), encoding="utf-8")
    run.finish(out, card.record(made))
    return report


def make_mean(
    models: Sequence[str],
    out: Path,
    data: Data,
    organisations: Iterable[Organisation],
    first_stage: FirstStage,
    *,
    seed: int,
) -> MeanReport:
    """The mean of rerankers (`mean.write_mean`) in `out`, its ONNX form in ``<out>/onnx``; both are
    measured and calibrated on the strings of held-out organisations, as a trained one is.

    Raises:
        GoldError: a line of a gold file cannot be read.
        ModelError: the models do not fit each other.
    """
    _, by_id = _known(organisations)
    train, rest = split(_gold(data))
    write_mean(models, out)
    lists = shortlists(rest, by_id, first_stage)
    checkpoint, fitted = _measure(load_cross_encoder(str(out), None), lists, out)
    exported = None
    if _has_onnx_form(out):
        strings = random.Random(seed).sample(train, min(EXPORT_SAMPLE, len(train)))  # noqa: S311
        learnt = list(pairs(strings, by_id, first_stage, negatives=data.negatives, seed=seed))
        folder = out / "onnx"
        export_reranker(out, folder, _sample(learnt, seed))
        exported, fitted = _measure(load_onnx(folder, name=str(folder)), lists, folder)
    return MeanReport(
        held_out_strings=len(lists),
        first_stage=ranking(lists, first_stage_order(lists)),
        checkpoint=checkpoint,
        exported=exported,
        calibration=fitted,
    )


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
    return [item for path in data.gold for item in read_labelled(path, data.complete)]


def _files(data: Data) -> dict[str, str]:
    paths = [*data.gold, *([data.material] if data.material else [])]
    names = [path.name for path in paths]
    try:
        return {
            path.name if names.count(path.name) == 1 else str(path): run.file_digest(path)
            for path in paths
        }
    except OSError as error:
        raise GoldError(
            f"{error.filename}: {error.strerror}", remedy="name a JSON lines file"
        ) from error


def _material(data: Data) -> Material:
    return read_material(data.material) if data.material else Material((), (), ())


def _known(
    organisations: Iterable[Organisation],
) -> tuple[list[Organisation], dict[str, Organisation]]:
    """The active organisations, from which strings are made; and all but withdrawn ones, by id."""
    kept = [o for o in organisations if o.status is not OrganisationStatus.WITHDRAWN]
    active = [o for o in kept if o.status is OrganisationStatus.ACTIVE]
    return active, {organisation.ror_id: organisation for organisation in kept}


def _sample(learnt: Sequence[LabelledPair], seed: int) -> list[tuple[str, str]]:
    rng = random.Random(seed)  # noqa: S311
    drawn = rng.sample(learnt, min(EXPORT_SAMPLE, len(learnt)))
    return [(pair.affiliation, pair.document) for pair in drawn]


def _measure(
    reranker: Reranker, lists: Sequence[LabelledShortlist], folder: Path
) -> tuple[Ranking, Calibration | None]:
    """Rank the shortlists; fit a calibration and write it beside the model, if it can be fitted."""
    scored = scores(lists, reranker)
    fitted = None
    try:
        fitted = calibration.fit(*judged(lists, scored))
    except ModelError as error:
        # No reason to lose hours of training: loading warns that there is none.
        log.warning("%s is not calibrated: %s", folder, error)
    else:
        write_calibration(fitted, folder / CALIBRATION)
    return ranking(lists, scored), fitted


def _has_onnx_form(out: Path) -> bool:
    kind = files.read_json(out / files.CONFIG).get("model_type")
    if kind != "bert":
        log.warning("no small ONNX form is written: it is for BERT-like models, this is %s", kind)
    return kind == "bert"
