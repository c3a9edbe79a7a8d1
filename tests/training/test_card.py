"""The model card and its JSON, from a finished training."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from resolver.evaluation.metrics import Ranking
from resolver.reranker import Calibration
from resolver.training.card import About, FinishedTraining, base_license, base_name, record, text
from resolver.training.presets import AFFILIATIONS_2025
from resolver.training.report import TrainingReport
from resolver.training.reranker import Reranking, Training, TrainingStep

BEFORE, AFTER = Reranking(0.31, 0.32, 0.41239), Reranking(0.93, 0.94, 0.95671)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "some-base"
    folder.mkdir()
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    return folder


def made(
    base: Path, about: About = About(), best: int | None = 500, **report: Any
) -> FinishedTraining:
    start = datetime(2025, 11, 1, 12, tzinfo=UTC)
    options = dataclasses.replace(
        AFFILIATIONS_2025.training, base=str(base), out=base.parent / "my-model", epochs=3.0
    )
    evaluation = dataclasses.replace(AFTER, ndcg=0.95)
    return FinishedTraining(
        options=options,
        data=AFFILIATIONS_2025.data,
        files={"gold.jsonl": "ab12"},
        counts={"training pairs": 16_862, "evaluation queries": 404, "evaluation pairs": 808},
        training=Training(
            out=options.out,
            steps=1054,
            log=(
                TrainingStep(1, 0.0019, loss=0.6145),
                TrainingStep(500, 0.9488, 0.2311, 0.4316, evaluation),
                TrainingStep(1000, 1.8975, 0.1511, 0.4495, evaluation),
                TrainingStep(1054, 2.0, None, 0.45, evaluation),
            ),
            before=BEFORE,
            after=AFTER,
            best=best,
            resumed=None,
        ),
        report=TrainingReport(
            **{
                "pairs": 16_862,
                "positives": 8_000,
                "held_out_strings": 600,
                "first_stage": Ranking(600, 0.7, 0.75, 0.8),
                "checkpoint": Ranking(600, 0.9, 0.93, 0.94),
                "exported": None,
                "calibration": Calibration(1.5, -0.5),
                "before": BEFORE,
                "after": AFTER,
                "best": best,
                **report,
            }
        ),
        about=about,
        device="cpu",
        processes=1,
        started=start,
        ended=start + timedelta(minutes=90),
    )


ABOUT = About(
    preset="affiliations-2025",
    changed={"epochs": (2.0, 3.0)},
    command="resolver train gold.jsonl --epochs 3",
    data_license="CC0 1.0",
)


@pytest.mark.parametrize(
    "line",
    [
        "# my-model",
        "| before | 0.3100 | 0.3200 | 0.4124 |",
        "| after | 0.9300 | 0.9400 | 0.9567 |",
        "404 held-out queries with 808 documents",
        "| first stage | 600 | 0.7000 | 0.7500 | 0.8000 |",
        "| gold.jsonl | `ab12` |",
        "| training pairs | 16,862 |",
        "| **epochs** | **3.0** | preset: 2.0 |",
        "| learning_rate | 2e-05 |  |",
        "| 0.0019 | 1 | 0.6145 | - | - |",
        "| **0.9488** | **500** | **0.2311** | **0.4316** | **0.9500** |",
        "| 1.8975 | 1000 | 0.1511 | 0.4495 | 0.9500 |",
        "- This model: mit.",
        "- Its base, some-base: mit.",
        "- The labelled strings: CC0 1.0.",
        "90.0 minutes",
        "resolver train gold.jsonl --epochs 3",
    ],
)
def test_the_card_says(base: Path, line: str) -> None:
    assert line in text(made(base, ABOUT))


def test_the_metadata_is_what_the_hub_reads(base: Path) -> None:
    head = yaml.safe_load(text(made(base, ABOUT)).split("---")[1])
    assert head["base_model"] == "some-base"
    assert head["license"] == "mit"
    assert head["library_name"] == "sentence-transformers"
    assert head["pipeline_tag"] == "text-ranking"
    metrics = head["model-index"][0]["results"][0]["metrics"]
    assert {m["type"]: m["value"] for m in metrics} == {
        "map": 0.93, "mrr@10": 0.94, "ndcg@10": 0.9567,
    }  # fmt: skip


def test_the_last_step_is_bold_where_none_was_chosen(base: Path) -> None:
    assert "| **2.0000** | **1054** |" in text(made(base, best=None))


def test_what_is_not_known_is_said_to_be_so(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    card = text(made(bare, before=None, after=None))
    assert "- This model: not stated." in card
    assert "- The labelled strings: not stated." in card
    assert "| before |" not in card
    assert yaml.safe_load(card.split("---")[1])["license"] == "other"


def test_another_licence_can_be_given(base: Path) -> None:
    card = text(made(base, dataclasses.replace(ABOUT, license="cc-by-4.0")))
    assert "- This model: cc-by-4.0." in card
    assert "- Its base, some-base: mit." in card


def test_the_record_is_plain_json_without_the_paths_of_a_machine(base: Path) -> None:
    found = record(made(base, ABOUT))
    assert orjson.loads(orjson.dumps(found)) == found
    assert found["settings"]["training"]["epochs"] == 3.0
    assert found["changed"] == [{"name": "epochs", "preset": 2.0, "value": 3.0}]
    assert found["figures"]["after"]["ndcg"] == AFTER.ndcg
    assert found["log"][1]["evaluation_loss"] == 0.4316
    assert found["best_step"] == 500
    assert str(base.parent) not in orjson.dumps(found).decode()


@pytest.mark.parametrize(
    ("readme", "expected"),
    [
        (None, None),
        ("no metadata", None),
        ("---\nlicense: apache-2.0\n---\n", "apache-2.0"),
        ("---\ntags: [x]\n---\n", None),
        ("---\n[broken\n---\n", None),
    ],
)
def test_the_licence_of_a_base(tmp_path: Path, readme: str | None, expected: str | None) -> None:
    if readme is not None:
        (tmp_path / "README.md").write_text(readme)
    assert base_license(str(tmp_path)) == expected


def test_the_built_in_reranker_is_a_base_with_a_licence() -> None:
    assert base_license("builtin") == "mit"


def test_a_hub_id_is_a_name_by_itself() -> None:
    assert base_name("Alibaba-NLP/gte") == "Alibaba-NLP/gte"
