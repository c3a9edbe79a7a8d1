"""``resolver train``: how the built-in models were made, and how to make your own."""

from __future__ import annotations

import contextlib
import logging
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resolver.cli.evaluation_tables import reliability_table
from resolver.cli.tables import Table
from resolver.cli.terminal import console, errors, progress, say
from resolver.database import releases
from resolver.disk import writing
from resolver.errors import IntakeError, ModelError, SettingsError
from resolver.evaluation.metrics import reliability
from resolver.intake.files import read_file
from resolver.matching.judge import LogitJudge
from resolver.matching.judge_file import require_fitted, save_forecaster, save_judge
from resolver.registry.organisation import Organisation
from resolver.reranker.calibration import write_calibration
from resolver.service import parts
from resolver.service.installation import Installation
from resolver.settings import Settings, load_settings

if TYPE_CHECKING:
    from resolver.training.card import About
    from resolver.training.presets import Preset
    from resolver.training.report import MeanReport, TrainingReport
    from resolver.training.reranker import TrainingStep


class Target(StrEnum):
    """What to train. Each needs those before it: the reranker its candidates, the calibration and
    the judge both, the forecaster all."""

    ENCODER = "encoder"
    RERANKER = "reranker"
    MEAN = "mean"
    CALIBRATION = "calibration"
    JUDGE = "judge"
    FORECASTER = "forecaster"


class PresetName(StrEnum):
    """Where the reranker's options start from (`resolver.training.presets`)."""

    BUILTIN = "builtin"
    AFFILIATIONS_2025 = "affiliations-2025"


class Precision(StrEnum):
    """What the reranker is trained in; bf16 and fp16 by autocast, while weights stay in fp32."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


_RERANKER = "Reranker: data"
_OPTIMISER = "Reranker: training"
_JUDGE = "Judge"
_MEAN = "Mean of rerankers"
_FORECASTER = "Forecaster"


def train(
    gold: Annotated[
        list[Path],
        typer.Argument(
            help='JSON lines of {"affiliation", "ror_ids": [...]}; for the forecaster any files of '
            "affiliations, labelled or not."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(help="Folder of the model; file of the calibration, judge or forecaster."),
    ],
    part: Annotated[Target, typer.Option(help="What to train.")] = Target.RERANKER,
    preset: Annotated[
        PresetName,
        typer.Option(
            help="Options to start from: those of the built-in reranker, or those of the "
            "published fine-tune of GTE."
        ),
    ] = PresetName.BUILTIN,
    base: Annotated[
        str | None,
        typer.Option(help="Model to start from: a path or Hugging Face id (if not the preset's)."),
    ] = None,
    material: Annotated[
        Path | None,
        typer.Option(help="Annotated affiliations: their departments and addresses are reused."),
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the pairs.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Pairs in a step, on each device.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same weights.")] = 42,
    synthetic: Annotated[
        int | None, typer.Option(min=0, help="Artificial affiliations from the registry.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda … (if not the best there is).")
    ] = None,
    layers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Layers of the base to keep, evenly spread.",
            rich_help_panel=_OPTIMISER,
        ),
    ] = None,
    warmup: Annotated[
        float | None,
        typer.Option(help="Share of the steps for the warm-up.", rich_help_panel=_OPTIMISER),
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="Weight decay of AdamW.", rich_help_panel=_OPTIMISER)
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(min=8, help="Maximum tokens of a pair.", rich_help_panel=_OPTIMISER),
    ] = None,
    precision: Annotated[
        Precision | None,
        typer.Option(help="fp32, or autocast to bf16 or fp16.", rich_help_panel=_OPTIMISER),
    ] = None,
    evaluation_steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Steps between evaluations, with a save.", rich_help_panel=_OPTIMISER
        ),
    ] = None,
    checkpoint_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Steps between saves.", rich_help_panel=_OPTIMISER),
    ] = None,
    negatives: Annotated[
        int | None,
        typer.Option(min=0, help="Wrong organisations for each string.", rich_help_panel=_RERANKER),
    ] = None,
    affiliation_share: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Share of pairs of two affiliations (default: all).",
            rich_help_panel=_RERANKER,
        ),
    ] = None,
    most_pairs: Annotated[
        int | None,
        typer.Option(
            min=2, help="Maximum number of pairs (default: all).", rich_help_panel=_RERANKER
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other option of RerankerTraining, Data or the trainer's "
            "CrossEncoderTrainingArguments; may be repeated.",
            rich_help_panel=_OPTIMISER,
        ),
    ] = None,
    hard: Annotated[
        bool,
        typer.Option(
            "--hard",
            help="The hardest wrong organisations are those that the sieve of the settings passes "
            "and their reranker scores highest, not the first stage.",
            rich_help_panel=_RERANKER,
        ),
    ] = False,
    left_out: Annotated[
        int | None,
        typer.Option(
            "--fold",
            min=0,
            help="The fold of the gold strings that the reranker was trained without (--set "
            "fold=…): the judge is fitted on it too.",
            rich_help_panel=_JUDGE,
        ),
    ] = None,
    of: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RERANKER",
            help="A reranker of the mean; may be repeated. For the judge of a mean: those that "
            "were trained without fold 0, fold 1 … of as many (--set fold=… --set folds=…), in "
            "this order: the strings of each fold are scored by the one that did not see them.",
            rich_help_panel=_MEAN,
        ),
    ] = None,
    further: Annotated[
        list[Path] | None,
        typer.Option(
            "--unseen",
            metavar="FILE",
            help="Further gold strings, of which the reranker has seen none; may be repeated.",
            rich_help_panel=_JUDGE,
        ),
    ] = None,
    strings: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most strings of each file, drawn by the seed (default: all).",
            rich_help_panel=_FORECASTER,
        ),
    ] = None,
    complete: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE",
            help="A source of gold strings that labels all organisations of each: what it does not "
            'label is wrong. Lines with "maybe" or "not" are complete in any case.',
        ),
    ] = None,
    doubtful: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE",
            help="A source of gold strings whose labels are often wrong, or years old: its strings "
            "count a fifth when the judge is fitted.",
            rich_help_panel=_JUDGE,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Train from the start and delete what is in the folder."),
    ] = False,
    model_license: Annotated[
        str | None,
        typer.Option(
            "--license", help="Licence of the model, for its card (if not that of the base)."
        ),
    ] = None,
    data_license: Annotated[
        str | None, typer.Option(help="Licence of the labelled strings, for the card.")
    ] = None,
    export: Annotated[
        bool, typer.Option(help="Also write the small ONNX form (BERT-like bases).")
    ] = True,
) -> None:
    """Train the encoder or the reranker, take the mean of rerankers, or fit the calibration, the
    judge or the forecaster.

    They learn from labelled affiliations and the loaded registry. Wrong candidates come from
    the active index, as later in use. One organisation in twenty is held out: its strings
    measure and calibrate, and are never trained on. An interrupted training of a reranker continues
    when the same command is run again (docs/models.md).
    """
    settings = load_settings()
    if part is Target.CALIBRATION:
        with writing(out):
            _calibrate(settings, gold, out)
        return
    if part is Target.MEAN:
        with writing(out):
            _make_mean(settings, gold, complete or [], of or [], out, seed)
        return
    if part is Target.JUDGE:
        with writing(out):
            _train_judge(
                settings,
                gold,
                out,
                seed,
                left_out,
                of or [],
                further or [],
                complete or [],
                doubtful or [],
            )
        return
    if part is Target.FORECASTER:
        with writing(out):
            _train_forecaster(settings, gold, out, seed, strings)
        return
    with _installed():
        from resolver.training import card, presets, processes, recipe
    made = presets.changed(
        presets.preset(preset),
        # What is not given keeps the preset's value.
        training={
            "out": out.absolute(),
            "seed": seed,
            "device": device,
            "threads": settings.threads,
            "progress": errors.watched,
            **_given(
                base=base,
                layers=layers,
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                warmup=warmup,
                weight_decay=weight_decay,
                max_length=max_length,
                evaluation_steps=evaluation_steps,
                checkpoint_steps=checkpoint_steps,
                bf16=precision and precision is Precision.BF16,
                fp16=precision and precision is Precision.FP16,
            ),
        },
        data={
            "gold": tuple(gold),
            "complete": tuple(complete or ()),
            "material": material,
            **_given(
                synthetic_strings=synthetic,
                negatives=negatives,
                affiliation_share=affiliation_share,
                most_pairs=most_pairs,
            ),
        },
        further=set_ or [],
    )
    if not (made.training.base if part is Target.RERANKER else base):
        raise SettingsError(f"the {part} needs a model to start from", remedy="give --base")
    if part is Target.ENCODER:
        with _installed():
            from resolver.training.encoder import EncoderTraining
        given = _given(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate)
        encoder = EncoderTraining(
            base=made.training.base, out=out, seed=seed, device=device, **given
        )
        with writing(out):
            say(f"encoder in {recipe.make_encoder(made.data, encoder, _organisations(settings))}")
        return
    with _installed():
        launcher = processes.launcher(device)
    about = card.About(
        preset=made.name,
        changed=presets.departures(made),
        command=shlex.join([*launcher, *sys.argv[1:]]),
        license=model_license,
        data_license=data_license,
    )
    with writing(out):
        _train_reranker(settings, made, about, hard=hard, overwrite=overwrite, export=export)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


@contextlib.contextmanager
def _installed() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ModelError(
            f"training needs a package that is not installed: {error.name}",
            remedy="pip install 'affiliation-resolver[models,export]'",
        ) from error
    except OSError as error:
        raise ModelError(
            f"training needs a library of the system: {error}",
            remedy="install it (LightGBM needs libgomp: apt install libgomp1)",
        ) from error


def _train_reranker(
    settings: Settings, made: Preset, about: About, *, hard: bool, overwrite: bool, export: bool
) -> None:
    from resolver.training import processes, recipe

    if processes.join(made.training.device).is_main_process:
        # Only this process opens the database and the index, which let nobody else in, and
        # neither longer than it takes to mine.
        mine = partial(
            recipe.prepare_reranker,
            made.data,
            made.training,
            _organisations(settings),
            overwrite=overwrite,
            progress=progress,
        )
        with Installation(settings) as installation:
            if hard:
                with installation.open_matcher() as matcher:
                    mine(matcher.recall, reranker=matcher.reranker, sieve=matcher.sieve)
            else:
                with installation.open_recall() as first_stage:
                    mine(first_stage)
    else:
        logging.getLogger().setLevel(logging.ERROR)
    report = recipe.finish_reranker(
        made.data, made.training, about, export=export, watch=_print_step
    )
    if report is not None:
        _print_report(report, made.training.out)


def _print_step(step: TrainingStep) -> None:
    figures = [f"step {step.step:,}", f"epoch {step.epoch:.2f}"]
    if step.loss is not None:
        figures.append(f"loss {step.loss:.4f}")
    if step.evaluation_loss is not None:
        figures.append(f"evaluation loss {step.evaluation_loss:.4f}")
    if step.evaluation is not None:
        figures.append(f"nDCG@10 {step.evaluation.ndcg:.4f}")
    say("  ".join(figures))


def _print_report(report: TrainingReport, out: Path) -> None:
    say(f"{report.pairs:,} pairs")
    if report.before and report.after:
        table = Table("", "MAP", "MRR@10", "nDCG@10")
        for name, figures in (("before", report.before), ("after", report.after)):
            table.add_row(name, *(f"{x:.4f}" for x in (figures.map, figures.mrr, figures.ndcg)))
        console.print(table)
    _print_rankings(report)
    if report.best is not None:
        say(f"the checkpoint of step {report.best:,} was kept")
    say(f"reranker in {out / 'onnx' if report.exported else out}")


def _print_rankings(report: TrainingReport | MeanReport) -> None:
    say(f"on {report.held_out_strings:,} strings of held-out organisations:")
    table = Table("first stage's candidates", "strings", "top 1", "MRR@10", "nDCG@10")
    for name, ranking in (
        ("as they come", report.first_stage),
        ("reranked", report.checkpoint),
        ("reranked by the ONNX form", report.exported),
    ):
        if ranking is not None:
            shares = (f"{x:.4f}" for x in (ranking.top1, ranking.mrr, ranking.ndcg))
            table.add_row(name, f"{ranking.strings:,}", *shares)
    console.print(table)


def _make_mean(
    settings: Settings,
    gold: list[Path],
    complete: list[str],
    models: list[str],
    out: Path,
    seed: int,
) -> None:
    with _installed():
        from resolver.training import recipe
        from resolver.training.report import Data
    organisations = _organisations(settings)
    with Installation(settings) as installation, installation.open_recall() as first_stage:
        report = recipe.make_mean(
            models,
            out,
            Data(gold=tuple(gold), complete=tuple(complete)),
            organisations,
            first_stage,
            seed=seed,
        )
    _print_rankings(report)
    say(f"reranker in {out / 'onnx' if report.exported else out}")


def _organisations(settings: Settings) -> list[Organisation]:
    with Installation(settings) as installation:
        release = releases.require_release(installation.engine)
        return list(releases.organisations(installation.engine, release.id))


def _calibrate(settings: Settings, gold: list[Path], out: Path) -> None:
    with _installed():
        from resolver.training import calibration
        from resolver.training.pairs import read_labelled, split
        from resolver.training.ranking import judged, scores, shortlists
    by_id = {organisation.ror_id: organisation for organisation in _organisations(settings)}
    _, held_out = split(item for path in gold for item in read_labelled(path))
    reranker = parts.load_reranker(settings)
    with (
        Installation(settings) as installation,
        installation.open_recall() as first_stage,
        progress("strings searched", len(held_out)) as report,
    ):
        lists = shortlists(
            held_out, by_id, first_stage, depth=settings.rerank_depth, progress=report
        )
    with progress("shortlists scored", len(lists)) as report:
        logits, right = judged(lists, scores(lists, reranker, progress=report))
    fitted = calibration.fit(logits, right)
    write_calibration(fitted, out)
    measured = reliability(zip(fitted.probability(logits), right.tolist(), strict=True))
    console.print(reliability_table(measured, "probability"))
    say(
        f"calibrated on {len(logits):,} candidates of {len(lists):,} held-out strings, expected "
        f"error {measured.expected_error:.4f}, in {out}"
    )


def _train_judge(
    settings: Settings,
    gold: list[Path],
    out: Path,
    seed: int,
    left_out: int | None,
    of: list[str],
    further: list[Path],
    complete: list[str],
    doubtful: list[str],
) -> None:
    with _installed():
        import lightgbm  # noqa: F401

        from resolver.training import judge as training
        from resolver.training.pairs import read_labelled
        from resolver.training.report import Data
    organisations = _organisations(settings)
    by_id = {organisation.ror_id: organisation for organisation in organisations}
    labelled = [item for path in gold for item in read_labelled(path, complete, doubtful)]
    unseen = training.unseen(
        labelled,
        organisations,
        left_out=left_out,
        folds=Data(gold=()).folds,
        further=[item for path in further for item in read_labelled(path, complete, doubtful)],
        seed=seed,
    )
    folds = [training.of_fold(labelled, number, len(of)) for number in range(len(of))]
    strings = [*unseen, *chain.from_iterable(folds)]
    with (
        Installation(settings) as installation,
        installation.open_matcher(judge=LogitJudge(1.0, 0.0)) as matcher,
    ):
        with progress("strings sieved", len(strings)) as report:
            sieve = training.fit_sieve(
                matcher.recall, strings, by_id, depth=settings.recall_depth, progress=report
            )
        matcher = replace(matcher, sieve=sieve)
        with progress("strings", len(strings)) as report:
            examples = training.examples(matcher, unseen, by_id, progress=report)
        for model, of_fold in zip(of, folds, strict=True):
            reranker = parts.load_reranker(settings.model_copy(update={"reranker": model}))
            with (
                contextlib.closing(reranker),
                progress(f"strings by {model}", len(of_fold)) as report,
            ):
                examples += training.examples(
                    replace(matcher, reranker=reranker),
                    of_fold,
                    by_id,
                    by_fold=True,
                    progress=report,
                )
        features = [example.features() for example in examples]
        with progress("fits", training.PARTS + 1) as report:
            judge, operating = training.fit_judge(examples, features, progress=report)
        save_judge(judge, sieve, operating, matcher.recall.encoder, matcher.reranker, out)
    table = Table("accepted from", "precision", "recall", title="cross-validated, on these labels")
    for accept, precision, recall in operating:
        table.add_row(f"{accept:g}", f"{100 * precision:.1f}", f"{100 * recall:.1f}")
    console.print(table)
    say(f"judge fitted on {len(examples):,} strings, in {out}")


def _train_forecaster(
    settings: Settings, files: list[Path], out: Path, seed: int, most: int | None
) -> None:
    with _installed():
        import lightgbm  # noqa: F401

        from resolver.training import forecaster as training
    drawn = [training.drawn(_texts(file), most, seed=seed) for file in files]
    texts = list(dict.fromkeys(chain.from_iterable(drawn)))
    with Installation(settings) as installation, installation.open_matcher() as matcher:
        require_fitted(settings.judge, matcher.recall.encoder, matcher.reranker)
        with progress("statements", len(training.statements(texts))) as report:
            read = list(training.read_shortlists(matcher, texts, progress=report))
        with progress("fits", training.FITS) as report:
            forecaster = training.fit_forecaster(read, progress=report)
    save_forecaster(forecaster, settings.judge, out)
    pairs = sum(len(one.shortlist) for one in read)
    say(f"forecaster fitted on {len(read):,} statements with {pairs:,} pairs, in {out}")


def _texts(file: Path) -> list[str]:
    """The affiliations of a file, each once."""
    texts: dict[str, None] = {}
    for record in read_file(file):
        if isinstance(record, IntakeError):
            raise record
        texts[record.affiliation] = None
    return list(texts)
