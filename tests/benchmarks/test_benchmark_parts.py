"""What the benchmarks' figures are made of."""

from __future__ import annotations

import json
import random
from itertools import islice
from pathlib import Path

import pytest

from benchmarks import ceiling, growth, halves, report, strings, throughput
from benchmarks.turns import Ratio, in_turn, ratio
from resolver import sample
from resolver.evaluation.gold import Gold, read_gold
from resolver.registry.document import documents
from resolver.registry.organisation import OrganisationStatus
from resolver.text.affiliation import normalise

REGISTRY = strings.organisations(sample.REGISTRY)
INDEXED = [one for one in REGISTRY if one.status is not OrganisationStatus.WITHDRAWN]


# Reports


def test_a_table_is_markdown() -> None:
    shown = report.table(["what", "a", "b"], [["x", 1, "2.5"], ["y", "–", ""]])
    assert shown.splitlines() == [
        "| what | a | b |",
        "|---|---:|---:|",
        "| x | 1 | 2.5 |",
        "| y | – |  |",
    ]


@pytest.mark.parametrize(
    ("value", "shown"), [(12345.6, "12,346"), (99.94, "99.9"), (5.678, "5.68"), (0.01234, "0.0123")]
)
def test_three_digits_are_shown(value: float, shown: str) -> None:
    assert report.significant(value) == shown


def test_a_report_names_machine_versions_and_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = report.arguments("What it measures.\n\nMore.")
    parser.add_argument("--registry", type=Path, default=Path("a.json"))
    options = parser.parse_args(["--json", str(tmp_path / "new" / "figures.json")])
    figures = report.header(options) | {"rows": [1, 2]}
    report.finish(figures, "| the table |", options.json)
    kept = json.loads((tmp_path / "new" / "figures.json").read_text())
    assert kept == json.loads(json.dumps(figures))
    assert kept["settings"]["registry"] == "a.json"
    assert kept["machine"]["cores"] >= 1
    assert kept["versions"]["numpy"]
    printed = capsys.readouterr().out
    assert printed.endswith("\n\n| the table |\n")
    assert kept["machine"]["processor"] in printed


def test_the_files_of_a_folder_are_counted_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"x" * 100_000)
    before = report.folder_bytes(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "a" / "b")
    assert report.folder_bytes(tmp_path) == before >= 100_000


# Turns


def test_every_round_has_every_variant_and_every_other_goes_backwards() -> None:
    ran: list[str] = []
    seconds = in_turn({name: lambda name=name: ran.append(name) for name in "abc"}, rounds=3)
    assert "".join(ran) == "abc" + "abc" + "cba" + "abc"
    assert {name: len(found) for name, found in seconds.items()} == {"a": 3, "b": 3, "c": 3}
    assert all(one >= 0 for found in seconds.values() for one in found)


def test_a_ratio_is_taken_round_by_round() -> None:
    # A machine that is twice as slow in the last round is so for both.
    found = ratio([4.0, 4.0, 8.0], [2.0, 1.0, 4.0])
    assert found == Ratio(median=2.0, least=2.0, most=4.0)
    assert ratio([4.0], [1.0], work=0.5).median == 2.0


# Strings


def test_strings_are_all_different_and_keep_their_labels() -> None:
    rows = read_gold(sample.GOLD)
    found = strings.distinct(rows, 3 * len(rows))
    assert len({normalise(row.affiliation) for row in found}) == len(found) == 3 * len(rows)
    assert {row.ror_ids for row in found} == {row.ror_ids for row in rows}
    assert found == strings.distinct(rows, 3 * len(rows))
    assert strings.distinct(rows, 5) == found[:5]


def test_noise_swaps_two_letters_and_adds_a_number() -> None:
    text = "Department of Physics, Oslo"
    written = strings.noisy(text, random.Random(1))
    body, _, number = written.rpartition(", ")
    assert number.isdigit()
    assert body != text
    assert sorted(body) == sorted(text)


def test_strings_come_from_all_parts_of_a_file() -> None:
    rows = [Gold(str(number), ()) for number in range(100)]
    assert [row.affiliation for row in strings.evenly(rows, 4)] == ["0", "25", "50", "75"]
    assert strings.evenly(rows, 1000) == rows


# The ceiling


def test_the_arithmetic_of_the_large_model_is_that_of_the_notes() -> None:
    """226.5 MFLOP a token and 36,864 times the length for attention, with 306M parameters."""
    gte = ceiling.Shape(layers=12, hidden=768, intermediate=3072, gated=True)
    assert gte.flop([1]) == pytest.approx(226.5e6 + 36_864, rel=1e-3)
    assert gte.flop([64]) - 64 * 12 * 2 * (4 * 768**2 + 9 * 768**2 * 4 / 3) == 12 * 4 * 768 * 64**2
    assert gte.flop([3, 5]) == gte.flop([3]) + gte.flop([5])


def test_a_shape_is_read_from_a_checkpoint(tmp_path: Path) -> None:
    config = {"num_hidden_layers": 6, "hidden_size": 384, "intermediate_size": 1536}
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    assert ceiling.shape(tmp_path) == ceiling.Shape(6, 384, 1536, gated=False)


# Growth


@pytest.mark.parametrize("size", [10, 100, len(INDEXED), 1_000])
def test_a_registry_has_the_size_asked_for(size: int) -> None:
    named = {INDEXED[-1].ror_id, INDEXED[0].ror_id}
    found = growth.resized(REGISTRY, size, named)
    assert len({one.ror_id for one in found}) == len(found) == size
    assert named <= {one.ror_id for one in found}
    assert found == growth.resized(REGISTRY, size, named)


def test_made_up_organisations_are_like_real_ones_and_none_of_them() -> None:
    made = list(islice(growth.made_up(INDEXED, seed=0), 2 * len(INDEXED)))
    ids = {one.ror_id for one in INDEXED}
    assert not ids & {one.ror_id for one in made}
    assert all(len(one.ror_id) == 9 for one in made)
    real = {one.display_name for one in INDEXED}
    assert sum(one.display_name in real for one in made) < 0.05 * len(made)
    # Most words of each are those of the organisation that it was made from.
    kept = [
        len(set(one.display_name.split()) & set(origin.display_name.split()))
        for one, origin in zip(made, INDEXED, strict=False)
    ]
    assert sum(kept) > len(INDEXED)
    assert all(list(documents(one)) for one in made)


# Throughput


def test_the_stages_of_all_chunks_are_added(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    report_ = "ChunkReport(received=2, refused=0, new=2, links=1)"
    spent = "wall=1.500 normalise=0.100 recall=0.200 score=1.000 decide=0.100 store=0.100"
    log.write_text(
        f"[11:00: INFO] {report_} {spent} pairs=40 pairs_avoided=2 busy=0.67\n"
        "[11:00: INFO] something else: score=7.0\n"
        f"[11:01: INFO] {report_} {spent} pairs=60 pairs_avoided=1 busy=0.67\n"
        f"[11:02: INFO] {report_}\n"
    )
    found = throughput.total(throughput.meters(log))
    assert found["wall"] == 3.0
    assert found["score"] == 2.0
    assert (found["pairs"], found["pairs_avoided"]) == (100, 3)


# Halves


def test_each_string_of_a_set_is_in_one_half(tmp_path: Path) -> None:
    lines = [json.dumps({"affiliation": f"University {i}"}) + "\n" for i in range(200)]
    file = tmp_path / "set.jsonl"
    file.write_text("".join(lines))
    halves.main([str(file), str(tmp_path / "out")])
    learn, measure = (
        (tmp_path / "out" / f"set.{half}.jsonl").read_text().splitlines(keepends=True)
        for half in ("learn", "measure")
    )
    assert sorted([*learn, *measure]) == sorted(lines)
    assert min(len(learn), len(measure)) > 70
