"""Labels from files of works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from resolver import sample
from resolver.evaluation.asserted import has_works, read_asserted
from resolver.evaluation.gold import Gold


def author(text: str, *ids: str) -> dict[str, object]:
    identifiers = [{"id": id_, "id-type": "ROR", "asserted-by": "publisher"} for id_ in ids]
    return {"affiliation": [{"name": text, "id": identifiers}]}


def test_ids_beside_affiliations_are_labels(tmp_path: Path) -> None:
    path = tmp_path / "works.jsonl"
    works = [
        {"DOI": "10.5555/a", "author": [
            author("ETH", "https://ror.org/05a28rw58"), author("MIT"), author("nobody", "https://ror.org/1"),
        ]},
        {"DOI": "10.5555/b", "author": [
            author("ETH", "05A28RW58"), author("ETH", "https://ror.org/05a28rw58", "052gg0110"),
        ]},
        {"author": []},
    ]  # fmt: skip
    path.write_text("".join(json.dumps(work) + "\n" for work in works))
    found = read_asserted(path)
    assert found.labels == [
        Gold("ETH", ("05a28rw58",), "crossref"),
        Gold("ETH", ("05a28rw58", "052gg0110"), "crossref"),
    ]
    assert not any(label.complete for label in found.labels)
    assert [error.reason.split(", ")[1] for error in found.refused] == ["line 3: DOI: None is no DOI"]  # fmt: skip
    assert list(found.remarks()) == [
        "read as works of Crossref (recognised by its content): 2 works",
        "3 of 5 affiliations have a ROR id beside them; 2 different ones are evaluated",
        "1 ids are no ROR ids, and were left out",
        "what is asserted may be one organisation of several: a link that counts as wrong here "
        "may be right",
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (sample.CROSSREF, True),
        (sample.DATACITE, True),
        (sample.OPENALEX, True),
        (sample.GOLD, False),
        (sample.AFFILIATIONS, False),
        (sample.REGISTRY, False),
        (Path("nowhere.json"), False),
    ],
)
def test_works_are_told_from_other_files(path: Path, expected: bool) -> None:
    assert has_works(path) is expected
