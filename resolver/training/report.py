"""The options for the data of a training, and the report of its results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resolver.evaluation.metrics import Ranking
from resolver.reranker import Calibration
from resolver.training.pairs import HARDEST
from resolver.training.reranker import Reranking


@dataclass(frozen=True, slots=True)
class Data:
    """The options for training data. The defaults are those of the built-in models.

    `gold` are files of labelled strings, `complete` those of their sources that label all
    organisations of each string (`pairs.read_labelled`), `material` an annotated file
    for departments and addresses (`augmentation.read_material`; None: names and places only).
    `synthetic_strings` are made from the registry, and `joint_strings` that name several
    organisations of one city (`augmentation.joint`); of the pairs that they give, those of the
    latter first, the first `synthetic_pairs` are used (None: all). `gold_strings` draws so many of
    the gold strings (None: all); those of a `fold`, one of `folds` (`pairs.fold`), are left out,
    for the judge to be fitted on. Wrong candidates are among the first stage's best `candidates`:
    the `hardest` ones and others drawn, `negatives` in all for a gold string and
    `synthetic_negatives` for a made one.

    `affiliation_positives` and `affiliation_negatives` are, for each gold string, other gold
    strings beside which it is put (`affiliations.affiliation_pairs`); of all pairs
    `affiliation_share` are of that kind (None: as many as there are), and `most_pairs` are used
    (None: all). `strings_apart` leaves out a string that is measured on under another label.
    `evaluation_queries` held-out strings evaluate (None: all), each with up to
    `evaluation_negatives` wrong documents.
    """

    gold: tuple[Path, ...]
    complete: tuple[str, ...] = ()
    material: Path | None = None
    gold_strings: int | None = None
    fold: int | None = None
    folds: int = 2
    candidates: int = 30
    hardest: int = HARDEST
    negatives: int = 5
    synthetic_strings: int = 45_000
    joint_strings: int = 0
    synthetic_pairs: int | None = 85_000
    synthetic_negatives: int = 3
    affiliation_positives: int = 0
    affiliation_negatives: int = 0
    affiliation_share: float | None = None
    most_pairs: int | None = None
    strings_apart: bool = False
    evaluation_queries: int | None = 500
    evaluation_negatives: int = 9


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """The result of a reranker training, measured on strings of held-out organisations.

    `checkpoint` is the ranking by the trained model in torch, `exported` by its ONNX form, None
    where the architecture has none. `before` and `after` are the base and the trained model on the
    evaluation samples, None without any; `best` is the step that was saved (None: the last).
    `calibration` belongs to the form in use, None where none could be fitted.
    """

    pairs: int
    positives: int
    held_out_strings: int
    first_stage: Ranking
    checkpoint: Ranking
    exported: Ranking | None
    calibration: Calibration | None
    before: Reranking | None = None
    after: Reranking | None = None
    best: int | None = None


@dataclass(frozen=True, slots=True)
class MeanReport:
    """The mean of rerankers, measured as `TrainingReport` has it."""

    held_out_strings: int
    first_stage: Ranking
    checkpoint: Ranking
    exported: Ranking | None
    calibration: Calibration | None
