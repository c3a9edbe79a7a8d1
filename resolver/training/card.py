"""The model card of a fine-tuned reranker, and the same as JSON."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resolver.evaluation.metrics import CUT, Ranking
from resolver.hardware import versions
from resolver.settings import BUILTIN
from resolver.training import run
from resolver.training.pairs import HELD_OUT_SHARE
from resolver.training.reranker import (
    EVALUATION,
    RerankerTraining,
    Reranking,
    Training,
    TrainingStep,
)

if TYPE_CHECKING:
    from resolver.training.report import Data, TrainingReport

PACKAGES = (
    "affiliation-resolver",
    "sentence-transformers",
    "transformers",
    "torch",
    "accelerate",
    "datasets",
    "tokenizers",
)

SEVERAL_OR_OTHER = "other"
"""What the hub calls a licence that it has no name for."""


@dataclass(frozen=True, slots=True)
class About:
    """What the caller of a training says for the card.

    `changed` has the options that differ from the preset: name → (the preset's value, value).
    `license` is that of the trained model, None: that of the base.
    """

    preset: str | None = None
    changed: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    command: str | None = None
    license: str | None = None
    data_license: str | None = None


@dataclass(frozen=True, slots=True)
class FinishedTraining:
    """A finished training: all that its card shows.

    `files` has the SHA-256 of the gold and material files, by name.
    """

    options: RerankerTraining
    data: Data
    files: Mapping[str, str]
    counts: Mapping[str, int]
    training: Training
    report: TrainingReport
    about: About
    device: str
    processes: int
    started: datetime
    ended: datetime


def base_name(base: str) -> str:
    """The hub id itself; for a local path the name of the folder."""
    path = Path(base)
    return path.resolve().name if path.is_dir() else base


def base_license(base: str) -> str | None:
    """The licence in the card of the base model; None where there is none."""
    from huggingface_hub import ModelCard
    from yaml import YAMLError

    from resolver.weights.checkpoints import located

    if base == BUILTIN:
        return "mit"
    path = located(base) / run.CARD
    if not path.is_file():
        return None
    try:
        license_ = ModelCard.load(path, ignore_metadata_errors=True).data.get("license")
    # Anybody may have written the card; metadata that cannot be read names no licence.
    except (YAMLError, ValueError, TypeError, AttributeError):
        return None
    return license_ if isinstance(license_, str) else None


def record(finished: FinishedTraining) -> run.Identity:
    """The finished training as plain JSON."""
    return run.identity(
        preset=finished.about.preset,
        changed=[
            {"name": name, "preset": was, "value": now}
            for name, (was, now) in finished.about.changed.items()
        ],
        base=base_name(finished.options.base),
        license=_license(finished),
        data_license=finished.about.data_license,
        settings={"training": _options(finished.options), "data": _options(finished.data)},
        files=dict(finished.files),
        counts=dict(finished.counts),
        figures=dataclasses.asdict(finished.report),
        steps=finished.training.steps,
        best_step=finished.training.best,
        resumed_at_step=finished.training.resumed,
        log=[dataclasses.asdict(step) for step in finished.training.log],
        device=finished.device,
        processes=finished.processes,
        started=finished.started.isoformat(timespec="seconds"),
        ended=finished.ended.isoformat(timespec="seconds"),
        command=finished.about.command,
        versions=versions(PACKAGES),
    )


def text(finished: FinishedTraining) -> str:
    """The card, in Markdown with the metadata that the hub and sentence-transformers read."""
    name = finished.options.out.resolve().name
    parts = [
        f"---\n{_metadata(finished, name)}\n---",
        f"# {name}",
        f"A cross-encoder fine-tuned from {base_name(finished.options.base)} on affiliations and "
        "organisations of the Research Organization Registry (ROR). It scores how well an "
        "affiliation and an organisation, or another affiliation, mean the same organisation. "
        "Scores are logits: rank by them, or take `calibration.json` for probabilities.",
        _use(name),
        "## Figures",
        _figures(finished),
        "## Data",
        _data(finished),
        "## Settings",
        _settings(finished),
        "## Training log",
        log_table(finished.training),
        "## Licence",
        _licences(finished),
        "## How it was made",
        _provenance(finished),
    ]
    return "\n\n".join(parts) + "\n"


def log_table(training: Training) -> str:
    """The training log as a table; the step that was saved is bold."""
    rows = []
    for step in training.log:
        row = [
            f"{step.epoch:.4f}",
            str(step.step),
            _number(step.loss),
            _number(step.evaluation_loss),
            _number(step.evaluation.ndcg if step.evaluation else None),
        ]
        rows.append([f"**{cell}**" for cell in row] if _is_kept(step, training) else row)
    header = ["Epoch", "TrainingStep", "Training loss", "Evaluation loss", f"nDCG@{CUT}"]
    return _table(header, rows) + "\n\nBold is what was saved."


def _is_kept(step: TrainingStep, training: Training) -> bool:
    return step.step == (training.steps if training.best is None else training.best)


def _metadata(finished: FinishedTraining, name: str) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    after = finished.report.after
    card = ModelCardData(
        language="multilingual",
        license=_license(finished) or SEVERAL_OR_OTHER,
        library_name="sentence-transformers",
        tags=["sentence-transformers", "cross-encoder", "reranker", "loss:BinaryCrossEntropyLoss"],
        base_model=base_name(finished.options.base),
        pipeline_tag="text-ranking",
        metrics=[key for key, _ in _metrics(after)],
        model_name=name,
        eval_results=[
            EvalResult(
                task_type="cross-encoder-reranking",
                task_name="Cross Encoder Reranking",
                dataset_type=EVALUATION,
                dataset_name=EVALUATION.replace("-", " "),
                metric_type=key,
                metric_name=key.capitalize(),
                metric_value=round(value, 4),
            )
            for key, value in _metrics(after)
        ]
        or None,
    )
    return str(card.to_yaml()).strip()


def _metrics(of: Reranking | None) -> list[tuple[str, float]]:
    if of is None:
        return []
    return [("map", of.map), (f"mrr@{CUT}", of.mrr), (f"ndcg@{CUT}", of.ndcg)]


def _license(finished: FinishedTraining) -> str | None:
    return finished.about.license or base_license(finished.options.base)


def _use(name: str) -> str:
    return (
        "```python\n"
        "from sentence_transformers import CrossEncoder\n\n"
        f'model = CrossEncoder("path/to/{name}")\n'
        "model.predict([(affiliation, organisation)])  # one logit a pair\n"
        "```\n\n"
        f"In affiliation-resolver: `RESOLVER_RERANKER=path/to/{name}`."
    )


def _figures(finished: FinishedTraining) -> str:
    report = finished.report
    parts = []
    if report.before and report.after:
        rows = [
            [label, *(f"{value:.4f}" for _, value in _metrics(figures))]
            for label, figures in (("before", report.before), ("after", report.after))
        ]
        parts.append(
            f"By `CrossEncoderRerankingEvaluator` (at_k {CUT}, always_rerank_positives) on "
            f"{finished.counts.get('evaluation queries', 0):,} held-out queries with "
            f"{finished.counts.get('evaluation pairs', 0):,} documents:\n\n"
            + _table(["", "MAP", f"MRR@{CUT}", f"nDCG@{CUT}"], rows)
        )
    rankings: list[tuple[str, Ranking | None]] = [
        ("first stage", report.first_stage),
        ("this model", report.checkpoint),
        ("its ONNX form", report.exported),
    ]
    parts.append(
        "Reranking the first stage's candidates of held-out strings, a right one among them:\n\n"
        + _table(
            ["", "strings", "top 1", f"MRR@{CUT}", f"nDCG@{CUT}"],
            [
                [label, f"{of.strings:,}", f"{of.top1:.4f}", f"{of.mrr:.4f}", f"{of.ndcg:.4f}"]
                for label, of in rankings
                if of is not None
            ],
        )
    )
    return "\n\n".join(parts)


def _data(finished: FinishedTraining) -> str:
    files = _table(["File", "SHA-256"], [[name, f"`{of}`"] for name, of in finished.files.items()])
    counts = _table(["", ""], [[name, f"{count:,}"] for name, count in finished.counts.items()])
    return (
        f"{files}\n\n{counts}\n\n"
        f"One organisation in {HELD_OUT_SHARE} (by a hash of its ROR id) is held out with all its "
        "strings: it is trained on in no role, neither as the organisation of a string nor as a "
        "wrong answer, and its strings evaluate. Wrong documents in the evaluation are the first "
        "stage's and may be of any organisation. Wrong candidates that may be meant by the string "
        "(named in it, or a parent, child, predecessor or successor) are left out everywhere."
    )


def _settings(finished: FinishedTraining) -> str:
    rows = []
    for name, value in (_options(finished.options) | _options(finished.data)).items():
        if name in finished.about.changed:
            was, _ = finished.about.changed[name]
            rows.append([f"**{name}**", f"**{_shown(value)}**", f"preset: {_shown(was)}"])
        else:
            rows.append([name, _shown(value), ""])
    preset = f"Preset `{finished.about.preset}`; bold is what differs from it.\n\n"
    return (
        (preset if finished.about.preset else "")
        + _table(["Option", "Value", ""], rows)
        + "\n\nAll else is as `CrossEncoderTrainingArguments` has it by default."
    )


def _licences(finished: FinishedTraining) -> str:
    base = base_license(finished.options.base)
    return "\n".join(
        [
            f"- This model: {_license(finished) or 'not stated'}.",
            f"- Its base, {base_name(finished.options.base)}: "
            f"{base or 'not stated in its files; see where it was published'}.",
            f"- The labelled strings: {finished.about.data_license or 'not stated'}.",
            "- ROR's records: CC0 1.0.",
        ]
    )


def _provenance(finished: FinishedTraining) -> str:
    seconds = (finished.ended - finished.started).total_seconds()
    lines = [
        f"{finished.training.steps:,} steps on {finished.processes} × {finished.device}, "
        f"{seconds / 60:,.1f} minutes"
        + (
            f" since it went on from step {finished.training.resumed:,}"
            if finished.training.resumed
            else ""
        )
        + f", ended {finished.ended:%Y-%m-%d %H:%M} UTC. Python {platform.python_version()}, "
        + ", ".join(f"{name} {number}" for name, number in versions(PACKAGES).items())
        + "."
    ]
    if finished.about.command:
        lines.append(f"```console\n{finished.about.command}\n```")
    return "\n\n".join(lines)


def _options(of: RerankerTraining | Data) -> dict[str, Any]:
    values = dataclasses.asdict(of)
    for name in ("out", "gold", "material", "progress", "device", "threads"):
        values.pop(name, None)
    if "base" in values:
        values["base"] = base_name(values["base"])
    return values


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={option}" for name, option in value.items()) or "none"
    return "none" if value is None else str(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
