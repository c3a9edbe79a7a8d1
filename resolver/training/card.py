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
from resolver.training import run
from resolver.training.pairs import HELD_OUT_SHARE
from resolver.training.reranker import EVALUATION, RerankerTraining, Reranking, Step, Training

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
    """What only the caller knows.

    `changed` are options that differ from the preset's: name → (preset's value, value).
    `license` is that of the model made, None: that of the base.
    """

    preset: str | None = None
    changed: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    command: str | None = None
    license: str | None = None
    data_license: str | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A finished training, with all that its card says.

    `files` are SHA-256 of the gold and material files by name.
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
    """A hub id as it is; of a local path the folder's name."""
    path = Path(base)
    return path.resolve().name if path.is_dir() else base


def base_license(base: str) -> str | None:
    """The licence that the base's own card names, None where it names none."""
    from huggingface_hub import ModelCard
    from yaml import YAMLError

    from resolver.weights.checkpoints import located

    path = located(base) / run.CARD
    if not path.is_file():
        return None
    try:
        found = ModelCard.load(path, ignore_metadata_errors=True).data.get("license")
    # A card is prose that anybody wrote; what is no metadata says nothing of the licence.
    except (YAMLError, ValueError, TypeError, AttributeError):
        return None
    return found if isinstance(found, str) else None


def record(made: Made) -> run.Identity:
    """All of it as plain JSON."""
    return run.identity(
        preset=made.about.preset,
        changed=[
            {"name": name, "preset": was, "value": now}
            for name, (was, now) in made.about.changed.items()
        ],
        base=base_name(made.options.base),
        license=_license(made),
        data_license=made.about.data_license,
        settings={"training": _options(made.options), "data": _options(made.data)},
        files=dict(made.files),
        counts=dict(made.counts),
        figures=dataclasses.asdict(made.report),
        steps=made.training.steps,
        best_step=made.training.best,
        resumed_at_step=made.training.resumed,
        log=[dataclasses.asdict(step) for step in made.training.log],
        device=made.device,
        processes=made.processes,
        started=made.started.isoformat(timespec="seconds"),
        ended=made.ended.isoformat(timespec="seconds"),
        command=made.about.command,
        versions=versions(PACKAGES),
    )


def text(made: Made) -> str:
    """The card, in Markdown with the metadata that the hub and sentence-transformers read."""
    name = made.options.out.resolve().name
    parts = [
        f"---\n{_metadata(made, name)}\n---",
        f"# {name}",
        f"A cross-encoder fine-tuned from {base_name(made.options.base)} on affiliations and "
        "organisations of the Research Organization Registry (ROR). It scores how well an "
        "affiliation and an organisation, or another affiliation, mean the same organisation. "
        "Scores are logits: rank by them, or take `calibration.json` for probabilities.",
        _use(name),
        "## Figures",
        _figures(made),
        "## Data",
        _data(made),
        "## Settings",
        _settings(made),
        "## Training log",
        log_table(made.training),
        "## Licence",
        _licences(made),
        "## How it was made",
        _provenance(made),
    ]
    return "\n\n".join(parts) + "\n"


def log_table(training: Training) -> str:
    """The lines of the log; the step that was kept is bold."""
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
    header = ["Epoch", "Step", "Training loss", "Evaluation loss", f"nDCG@{CUT}"]
    return _table(header, rows) + "\n\nBold is what was saved."


def _is_kept(step: Step, training: Training) -> bool:
    return step.step == (training.steps if training.best is None else training.best)


def _metadata(made: Made, name: str) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    after = made.report.after
    card = ModelCardData(
        language="multilingual",
        license=_license(made) or SEVERAL_OR_OTHER,
        library_name="sentence-transformers",
        tags=["sentence-transformers", "cross-encoder", "reranker", "loss:BinaryCrossEntropyLoss"],
        base_model=base_name(made.options.base),
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


def _license(made: Made) -> str | None:
    return made.about.license or base_license(made.options.base)


def _use(name: str) -> str:
    return (
        "```python\n"
        "from sentence_transformers import CrossEncoder\n\n"
        f'model = CrossEncoder("path/to/{name}")\n'
        "model.predict([(affiliation, organisation)])  # one logit a pair\n"
        "```\n\n"
        f"In affiliation-resolver: `RESOLVER_RERANKER=path/to/{name}`."
    )


def _figures(made: Made) -> str:
    report = made.report
    parts = []
    if report.before and report.after:
        rows = [
            [label, *(f"{value:.4f}" for _, value in _metrics(figures))]
            for label, figures in (("before", report.before), ("after", report.after))
        ]
        parts.append(
            f"By `CrossEncoderRerankingEvaluator` (at_k {CUT}, always_rerank_positives) on "
            f"{made.counts.get('evaluation queries', 0):,} held-out queries with "
            f"{made.counts.get('evaluation pairs', 0):,} documents:\n\n"
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


def _data(made: Made) -> str:
    files = _table(["File", "SHA-256"], [[name, f"`{of}`"] for name, of in made.files.items()])
    counts = _table(["", ""], [[name, f"{count:,}"] for name, count in made.counts.items()])
    return (
        f"{files}\n\n{counts}\n\n"
        f"One organisation in {HELD_OUT_SHARE} (by a hash of its ROR id) is held out with all its "
        "strings: it is trained on in no role, neither as the organisation of a string nor as a "
        "wrong answer, and its strings evaluate. Wrong documents in the evaluation are the first "
        "stage's and may be of any organisation. Wrong candidates that may be meant by the string "
        "(named in it, or a parent, child, predecessor or successor) are left out everywhere."
    )


def _settings(made: Made) -> str:
    rows = []
    for name, value in (_options(made.options) | _options(made.data)).items():
        if name in made.about.changed:
            was, _ = made.about.changed[name]
            rows.append([f"**{name}**", f"**{_shown(value)}**", f"preset: {_shown(was)}"])
        else:
            rows.append([name, _shown(value), ""])
    preset = f"Preset `{made.about.preset}`; bold is what differs from it.\n\n"
    return (
        (preset if made.about.preset else "")
        + _table(["Option", "Value", ""], rows)
        + "\n\nAll else is as `CrossEncoderTrainingArguments` has it by default."
    )


def _licences(made: Made) -> str:
    base = base_license(made.options.base)
    return "\n".join(
        [
            f"- This model: {_license(made) or 'not stated'}.",
            f"- Its base, {base_name(made.options.base)}: "
            f"{base or 'not stated in its files; see where it was published'}.",
            f"- The labelled strings: {made.about.data_license or 'not stated'}.",
            "- ROR's records: CC0 1.0.",
        ]
    )


def _provenance(made: Made) -> str:
    seconds = (made.ended - made.started).total_seconds()
    lines = [
        f"{made.training.steps:,} steps on {made.processes} × {made.device}, "
        f"{seconds / 60:,.1f} minutes"
        + (
            f" since it went on from step {made.training.resumed:,}"
            if made.training.resumed
            else ""
        )
        + f", ended {made.ended:%Y-%m-%d %H:%M} UTC. Python {platform.python_version()}, "
        + ", ".join(f"{name} {number}" for name, number in versions(PACKAGES).items())
        + "."
    ]
    if made.about.command:
        lines.append(f"```console\n{made.about.command}\n```")
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
        return ", ".join(f"{name}={one}" for name, one in value.items()) or "none"
    return "none" if value is None else str(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
