"""The first stage on a small index: what it asks, and what it keeps."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import pytest
from support.hashing_encoder import HashingEncoder

from resolver.encoder.lexical import SparseVector
from resolver.index import Index, Manifest, Query
from resolver.index.build import build
from resolver.index.embedded import EmbeddedStore
from resolver.index.results import Results
from resolver.matching.candidate import Candidate
from resolver.matching.recall import Recall
from resolver.registry.document import Document
from resolver.registry.organisation import Name, NameKind, Organisation, OrganisationStatus, Place
from resolver.text.affiliation import Affiliation

NAMES = (
    ("University of Zurich", "Universität Zürich", "UZH"),
    ("University Hospital of Zurich", "Universitätsspital Zürich"),
    ("ETH Zurich", "Swiss Federal Institute of Technology"),
    ("Zurich University of Applied Sciences",),
    ("Bell Labs",),
)
ETH = "Department of Physics, ETH Zurich, Zurich, Switzerland"
BOTH = "University Hospital of Zurich and ETH Zurich; University of Zurich, Zurich, Switzerland"
UZH = "Department of Physics, University of Zurich, Zurich, Switzerland"


class Counted:
    """An index that notes what it is asked."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.sparse: list[int] = []
        self.dense: list[int] = []
        """Queries of each search."""

    @property
    def manifest(self) -> Manifest:
        return self._index.manifest

    def search(self, queries: Sequence[Query], *, limit: int) -> list[Results]:
        kinds = {isinstance(query, SparseVector) for query in queries}
        assert len(kinds) <= 1
        (self.sparse if True in kinds else self.dense).append(len(queries))
        return self._index.search(queries, limit=limit)

    def documents(self, names: Collection[int]) -> dict[int, Document]:
        return self._index.documents(names)

    def organisations(self, ror_ids: Collection[str]) -> dict[str, Document]:
        return self._index.organisations(ror_ids)

    def count(self) -> int:
        return self._index.count()

    def close(self) -> None:
        self._index.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedStore:
    store = EmbeddedStore(tmp_path_factory.mktemp("recall") / "index")
    manifest = build(
        [
            Organisation(
                ror_id=f"0000000{i:02d}",
                status=OrganisationStatus.ACTIVE,
                names=tuple(
                    Name(name, frozenset({NameKind.ALIAS if j else NameKind.DISPLAY}))
                    for j, name in enumerate(names)
                ),
                places=(Place("CH", "Switzerland", "Zurich"),),
            )
            for i, names in enumerate(NAMES)
        ],
        release="v2.9",
        release_sha256="5" * 64,
        encoder=HashingEncoder(),
        store=store,
    )
    store.activate(manifest.version)
    return store


@pytest.fixture
def index(store: EmbeddedStore) -> Iterator[Counted]:
    opened = Counted(store.open())
    yield opened
    opened.close()


@pytest.fixture
def recall(index: Counted) -> Recall:
    return Recall(HashingEncoder(), index)


def candidates(recall: Recall, texts: Sequence[str], *, depth: int) -> list[list[Candidate]]:
    return recall.candidates(list(map(Affiliation.of, texts)), depth=depth)


def shown(candidates: Sequence[Candidate]) -> list[str]:
    return [candidate.document.name for candidate in candidates]


def test_the_organisation_that_is_named_comes_first(recall: Recall) -> None:
    by_name, by_alias = candidates(
        recall, ["ETH Zurich, Switzerland", "Universitätsspital Zürich"], depth=3
    )
    assert shown(by_name)[0] == "ETH Zurich"
    assert shown(by_alias)[0] == "Universitätsspital Zürich"
    assert by_alias[0].document.display_name == "University Hospital of Zurich"
    assert len(by_name) == len(by_alias) == 3


def test_a_chunk_is_answered_as_its_strings_alone(store: EmbeddedStore, index: Counted) -> None:
    texts = [ETH, BOTH, UZH, "UZH", "", ETH, "Zurich", "苏黎世大学"]
    together = candidates(Recall(HashingEncoder(), index), texts, depth=4)
    opened = store.open()
    apart = [candidates(Recall(HashingEncoder(), opened), [text], depth=4)[0] for text in texts]
    opened.close()
    assert together == apart


def test_what_is_kept_answers_as_what_is_searched(recall: Recall) -> None:
    first = candidates(recall, [ETH, BOTH], depth=4)
    assert candidates(recall, [ETH, BOTH], depth=4) == first


def test_no_segment_is_searched_twice(recall: Recall, index: Counted) -> None:
    candidates(recall, [ETH, ETH], depth=4)
    candidates(recall, [BOTH, ETH], depth=4)
    candidates(recall, ["University of Zurich", "UZH"], depth=4)
    assert index.dense == [
        2,  # the whole text and "ETH Zurich"
        4,  # both whole texts, the hospital and ETH, "University of Zurich"
        1,  # "UZH"; "University of Zurich" was a segment
    ]


def test_each_text_is_searched_once_by_words(recall: Recall, index: Counted) -> None:
    candidates(recall, [ETH, UZH, ETH], depth=4)
    candidates(recall, [ETH], depth=4)
    assert index.sparse == [2, 1]


def test_another_depth_is_another_search(recall: Recall, index: Counted) -> None:
    few = candidates(recall, [BOTH], depth=1)
    many = candidates(recall, [BOTH], depth=5)
    assert index.dense == [3, 3]
    assert [len(few[0]), len(many[0])] == [1, 5]


def test_no_texts_are_no_candidates(recall: Recall) -> None:
    assert candidates(recall, [], depth=4) == []
