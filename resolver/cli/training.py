"""``resolver train``: how the built-in models were made, and how to make your own."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from resolver import service
from resolver.cli.terminal import progress, say
from resolver.database import connection, releases
from resolver.domain.evidence import Judge
from resolver.domain.organisation import Organisation
from resolver.errors import ModelError, SettingsError
from resolver.judging import save_judge
from resolver.settings import Settings, load_settings


class Part(StrEnum):
    """What to train. Each needs what is before it: the reranker its candidates, the judge both."""

    ENCODER = "encoder"
    RERANKER = "reranker"
    JUDGE = "judge"


def train(
    gold: Annotated[
        list[Path], typer.Argument(help='JSON lines of {"affiliation", "ror_ids": [...]}.')
    ],
    out: Annotated[Path, typer.Option(help="Folder of the model; file of the judge.")],
    part: Annotated[Part, typer.Option(help="What to train.")] = Part.RERANKER,
    base: Annotated[
        str | None, typer.Option(help="Model to start from: a path or Hugging Face id.")
    ] = None,
    material: Annotated[
        Path | None,
        typer.Option(help="Annotated affiliations, for departments and addresses to make up."),
    ] = None,
    layers: Annotated[
        int | None, typer.Option(min=1, help="Keep so many layers of the base, evenly spread.")
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the pairs.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Pairs in a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At its highest.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same weights.")] = 42,
    synthetic: Annotated[
        int | None, typer.Option(min=0, help="Affiliations made up from the registry.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda … [the best there is]")] = None,
    export: Annotated[
        bool, typer.Option(help="Also write the small ONNX form (BERT-like bases).")
    ] = True,
) -> None:
    """Train the encoder, the reranker, or the judge on labelled affiliations and the registry.

    Negatives come from the active index, as they will in use. One organisation in twenty is held
    out: its strings measure and calibrate, and are never trained on (docs/models.md).
    """
    settings = load_settings()
    organisations = _organisations(settings)
    if part is Part.JUDGE:
        _train_judge(settings, gold, organisations, out)
        return
    if base is None:
        raise SettingsError(f"the {part} needs a model to start from", remedy="give --base")
    try:
        from resolver.training import recipe
        from resolver.training.encoder import EncoderTraining
        from resolver.training.reranker import RerankerTraining
    except ImportError as error:
        raise ModelError(
            f"training needs a package that is not installed: {error.name}",
            remedy="pip install 'affiliation-resolver[models,export]'",
        ) from error
    # What is not given keeps the default of the options, which is that of the built-in models.
    given = {
        key: value
        for key, value in {
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
        }.items()
        if value is not None
    }
    made_up = {} if synthetic is None else {"synthetic_strings": synthetic}
    data = recipe.Data(gold=tuple(gold), material=material, **made_up)
    if part is Part.ENCODER:
        encoder = EncoderTraining(base=base, out=out, seed=seed, device=device, **given)  # type: ignore[arg-type]
        say(f"encoder in {recipe.make_encoder(data, encoder, organisations)}")
        return
    options = RerankerTraining(
        base=base,
        out=out,
        layers=layers,
        seed=seed,
        device=device,
        **given,  # type: ignore[arg-type]
    )
    with service.recall(settings) as first_stage:
        report = recipe.make_reranker(data, options, organisations, first_stage, export=export)
    say(
        f"{report.pairs:,} pairs; on {report.held_out_strings:,} strings of held-out organisations:"
    )
    for name, ranking in (
        ("first stage", report.first_stage),
        ("trained", report.checkpoint),
        ("exported", report.exported),
    ):
        if ranking is not None:
            say(f"  {name:12} {ranking}")
    say(f"reranker in {out / 'onnx' if report.exported else out}")


def _organisations(settings: Settings) -> list[Organisation]:
    with service.database(settings) as engine:
        connection.require_schema(engine)
        release = releases.require_release(engine)
        return list(releases.organisations(engine, release.id))


def _train_judge(
    settings: Settings, gold: list[Path], organisations: list[Organisation], out: Path
) -> None:
    try:
        from resolver.training.judge import fit_judge
        from resolver.training.pairs import read_labelled, split
    except ImportError as error:
        raise ModelError(
            f"training needs a package that is not installed: {error.name}",
            remedy="pip install 'affiliation-resolver[models]'",
        ) from error
    _, held_out = split(item for path in gold for item in read_labelled(path))
    by_id = {organisation.ror_id: organisation for organisation in organisations}
    with (
        service.matcher(settings, judge=Judge.of_logit(1.0, 0.0)) as matcher,
        progress("held-out strings", len(held_out)) as report,
    ):
        judge = fit_judge(matcher, held_out, by_id, progress=report)
        save_judge(judge, matcher.recall.encoder, matcher.reranker, out)
    say(f"judge fitted on {len(held_out):,} held-out strings, in {out}")
