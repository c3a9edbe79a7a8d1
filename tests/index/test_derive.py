"""A version that is derived from another is, point by point, what a full build would write."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.hashing_encoder import HashingEncoder
from support.paths import SHARED
from support.searches_in_memory import store_in_memory
from support.stored_points import stored

from resolver import sample
from resolver.encoder.lexical import in_order, terms
from resolver.encoder.loading import load
from resolver.encoder.statistics import Statistics, counted
from resolver.encoder.translation import Translation
from resolver.errors import IndexMismatch, IndexProblem
from resolver.index import IndexStore, Manifest
from resolver.index.build import INDEXED, build, derive, prune
from resolver.index.embedded import EmbeddedStore
from resolver.index.server import ServerStore
from resolver.registry.document import FORM
from resolver.registry.dump import open_release
from resolver.registry.organisation import (
    Identifier,
    Name,
    NameKind,
    Organisation,
    OrganisationStatus,
    Place,
    Relation,
    RelationKind,
)
from resolver.settings import BUILTIN

pytestmark = pytest.mark.filterwarnings("ignore:Local mode performs exact")


Release = Mapping[str, Organisation]
"""Organisations by ROR id."""

ACTIVE, INACTIVE, WITHDRAWN = OrganisationStatus

TRANSLATION = Translation({("KR", "HANGUL"): {"busan": dict.fromkeys(terms("부산"), 0.8)}})
STATISTICS = counted(
    [in_order(terms(name)) for name in ("Busan University", "부산 대학교", "ETH Zurich")],
    TRANSLATION,
)
"""Of names that hardly any release of these tests has: what they hold must not matter."""


def release_of(*organisations: Organisation) -> Release:
    return {organisation.ror_id: organisation for organisation in organisations}


def built(
    store: IndexStore,
    release: Release,
    sha: str = "1",
    *,
    statistics: Statistics | None = STATISTICS,
    **changes: object,
) -> Manifest:
    arguments: dict[str, object] = {
        "release": "v1",
        "release_sha256": sha,
        "encoder": HashingEncoder(),
        "store": store,
        "statistics": statistics,
    }
    return build(release.values(), **{**arguments, **changes})  # type: ignore[arg-type]


def derived(
    store: IndexStore,
    base: Manifest,
    old: Release,
    new: Release,
    sha: str = "2",
    **changes: object,
) -> Manifest:
    differing = [
        (old.get(ror_id), new.get(ror_id))
        for ror_id in sorted(old.keys() | new.keys())
        if old.get(ror_id) != new.get(ror_id)
    ]
    arguments: dict[str, object] = {
        "release": "v1",
        "release_sha256": sha,
        "changed": iter(differing),
        "names": ((o.ror_id, o.status, [n.value for n in o.names]) for o in new.values()),
        "encoder": HashingEncoder(),
    }
    return derive(store, base, **{**arguments, **changes})  # type: ignore[arg-type]


def in_memory() -> ServerStore:
    return store_in_memory(poll_interval=0.0)


@pytest.fixture
def store() -> ServerStore:
    """The adapter that is the faster one with a handful of points."""
    return in_memory()


@pytest.fixture
def embedded(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "index")


def organisation(
    ror_id: str,
    *names: str,
    status: OrganisationStatus = ACTIVE,
    city: str = "Zurich",
    country: str = "CH",
    **others: object,
) -> Organisation:
    kinds = [NameKind.DISPLAY] + [NameKind.ALIAS] * (len(names) - 1)
    return Organisation(
        ror_id=ror_id,
        status=status,
        names=tuple(Name(name, frozenset({kind})) for name, kind in zip(names, kinds, strict=True)),
        places=(Place(country, country, city),),
        **others,  # type: ignore[arg-type]
    )


ETH = organisation("000000001", "ETH Zurich", "Swiss Federal Institute", "ETHZ")
BUSAN = organisation("000000002", "Busan Institute", country="KR")
MINISTRY = organisation("000000003", "Ministry of Health", city="Bern")
HEALTH = organisation("000000004", "Department", "MINISTRY OF HEALTH", city="Oslo")
BASE = release_of(ETH, BUSAN, MINISTRY, HEALTH)


def renamed(found: Organisation, *names: str) -> Organisation:
    return dataclasses.replace(found, names=organisation("0", *names).names)


RELEASES = {
    "nothing": BASE,
    "a new organisation": release_of(*BASE.values(), organisation("000000005", "CERN")),
    "a namesake is new": release_of(
        *BASE.values(), organisation("000000005", "Mínistry of Health")
    ),
    "a namesake is gone": release_of(ETH, BUSAN, HEALTH),
    "a namesake is withdrawn": release_of(
        ETH, BUSAN, HEALTH, dataclasses.replace(MINISTRY, status=WITHDRAWN)
    ),
    "inactive": release_of(*BASE.values(), dataclasses.replace(ETH, status=INACTIVE)),
    "another display name": release_of(
        *BASE.values(), renamed(ETH, "Swiss Federal Institute", "ETH Zurich", "ETHZ")
    ),
    "a name in other letters": release_of(
        *BASE.values(), renamed(ETH, "ETH ZURICH", "Swiss Federal Institute", "ETHZ")
    ),
    "a name is gone": release_of(*BASE.values(), renamed(ETH, "ETH Zurich", "ETHZ")),
    "names in another order": release_of(
        *BASE.values(), renamed(ETH, "ETH Zurich", "ETHZ", "Swiss Federal Institute")
    ),
    "a name in its script": release_of(
        *BASE.values(), renamed(BUSAN, "Busan Institute", "부산 연구소")
    ),
    "a name that is translated": release_of(*BASE.values(), renamed(BUSAN, "Institute of Busan")),
    "it moved": release_of(
        *BASE.values(), dataclasses.replace(ETH, places=(Place("CH", "Switzerland", "Bern"),))
    ),
    "a relation": release_of(
        *BASE.values(),
        dataclasses.replace(ETH, relations=(Relation(RelationKind.PARENT, "000000003", "M"),)),
    ),
    "an identifier": release_of(*BASE.values(), dataclasses.replace(ETH, domains=("ethz.ch",))),
    "all else": release_of(organisation("000000009", "Something Else")),
}


def difference(store: IndexStore, made: Manifest, expected: IndexStore, full: Manifest) -> object:
    """What is other than in the full build; None if nothing is."""
    for what in dataclasses.fields(Manifest):
        ours, theirs = getattr(made, what.name), getattr(full, what.name)
        if what.name not in ("built_at", "derived_from") and ours != theirs:
            return what.name, ours, theirs
    ours, theirs = stored(store, made.version), stored(expected, full.version)
    return next(
        ((i, ours.get(i), theirs.get(i)) for i in ours | theirs if ours.get(i) != theirs.get(i)),
        None,
    )


@pytest.mark.parametrize("new", RELEASES.values(), ids=RELEASES.keys())
def test_a_derived_version_is_what_a_full_build_writes(store: ServerStore, new: Release) -> None:
    base = built(store, BASE)
    before = stored(store, base.version)
    made = derived(store, base, BASE, new)
    full = in_memory()
    assert difference(store, made, full, built(full, new, "2")) is None
    assert (made.statistics, made.derived_from) == (STATISTICS.fingerprint, base.version)
    assert stored(store, base.version) == before


def test_the_engine_in_process_does_the_same(embedded: EmbeddedStore, tmp_path: Path) -> None:
    full = EmbeddedStore(tmp_path / "full")
    base = built(embedded, BASE)
    before = stored(embedded, base.version)
    reader = embedded.open(base.version)
    chain, last = base, BASE
    for turn, change in enumerate(("a namesake is new", "all else")):
        made = derived(embedded, chain, last, RELEASES[change], str(turn + 2))
        expected = built(full, RELEASES[change], str(turn + 2))
        assert difference(embedded, made, full, expected) is None
        chain, last = made, RELEASES[change]
    assert embedded.statistics(chain.version).fingerprint == STATISTICS.fingerprint
    assert reader.count() == base.points
    reader.close()
    assert stored(embedded, base.version) == before


names_ = st.sampled_from(
    ["ETH", "Eth", "ETH Zürich", "Ministry", "MINISTRY", "Bern", "Busan", "부산", "é", "—", "Ünï"]
)
organisations_ = st.builds(
    lambda ror_id, shown, others, status, city, parent, domain, acronym: Organisation(
        ror_id=f"{ror_id:09d}",
        status=status,
        names=(
            *(
                Name(n, frozenset({NameKind.ACRONYM if acronym else NameKind.ALIAS}))
                for n in others[:1]
            ),
            Name(shown, frozenset({NameKind.DISPLAY, NameKind.LABEL})),
            *(Name(n, frozenset({NameKind.LABEL})) for n in others[1:]),
        ),
        places=(Place("KR", "Korea", city),) if city else (),
        relations=(Relation(RelationKind.PARENT, f"{parent:09d}", ""),) if parent else (),
        domains=(domain,) if domain else (),
        identifiers=(Identifier("wikidata", (f"Q{parent}",)),) if parent else (),
    ),
    st.integers(1, 7),
    names_,
    st.lists(names_, max_size=3),
    st.sampled_from(OrganisationStatus),
    st.sampled_from([None, "Bern", "Busan"]),
    st.integers(0, 2),
    st.sampled_from([None, "ethz.ch"]),
    st.booleans(),
)
releases_ = st.lists(organisations_, min_size=1, max_size=8).map(lambda found: release_of(*found))


def kept(first: Release, then: Release, share: int) -> Release:
    """A release that has some organisations as the one before had them."""
    as_before = {i: o for i, o in first.items() if int(i) % 3 < share}
    return {**then, **as_before}


def indexed(release: Release) -> bool:
    return any(o.status in INDEXED for o in release.values())


@settings(max_examples=50, deadline=None)
@given(releases_, releases_, releases_, st.integers(0, 2))
@example(BASE, RELEASES["all else"], BASE, 0)
def test_whatever_changed(first: Release, second: Release, third: Release, share: int) -> None:
    """Twice, one version from the other."""
    second = kept(first, second, share)
    third = kept(second, third, share)
    if not (indexed(first) and indexed(second) and indexed(third)):
        return
    store, full = in_memory(), in_memory()
    one = built(store, first)
    two = derived(store, one, first, second, "2")
    three = derived(store, two, second, third, "3")
    assert difference(store, two, full, built(full, second, "2")) is None
    assert difference(store, three, full, built(full, third, "3")) is None


class Counting(HashingEncoder):
    """Tells what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def encode_documents(self, texts: Sequence[str]):  # type: ignore[no-untyped-def]
        self.texts += texts
        return super().encode_documents(texts)


@pytest.mark.parametrize(
    ("change", "embedded"),
    [
        ("nothing", []),
        ("a namesake is new", ["Mínistry of Health, Zurich, CH"]),
        ("a namesake is gone", []),
        ("names in another order", []),
        ("a name is gone", []),
        ("a name in its script", ["Busan Institute, Zurich, KR", "부산 연구소, Zurich, KR"]),
    ],
)
def test_only_what_is_new_is_embedded(store: ServerStore, change: str, embedded: list[str]) -> None:
    base = built(store, BASE)
    encoder = Counting()
    told: list[tuple[int, int]] = []
    derived(
        store,
        base,
        BASE,
        RELEASES[change],
        encoder=encoder,
        progress=lambda *done: told.append(done),
    )
    assert encoder.texts == embedded
    assert told[-1] == (len(embedded), len(embedded))


def test_a_website_is_written_without_embedding(store: ServerStore) -> None:
    base = built(store, BASE)
    encoder = Counting()
    ror_id = min(BASE)
    changed = dataclasses.replace(BASE[ror_id], websites=("https://ministry.example/about",))
    made = derived(store, base, BASE, {**BASE, ror_id: changed}, encoder=encoder)
    assert encoder.texts == []
    with closing(store.open(made.version)) as index:
        assert index.organisations([ror_id])[ror_id].website == "https://ministry.example/about"


def test_statistics_are_those_of_the_first_full_build(store: ServerStore) -> None:
    base = built(store, BASE, statistics=None)
    new = RELEASES["a new organisation"]
    made = derived(store, base, BASE, new)
    own = built(store, new, "2", statistics=None)
    assert made.statistics == base.statistics != own.statistics
    assert made.version != own.version
    assert store.statistics(made.version).documents == base.points
    assert "" == base.derived_from == own.derived_from


def untouched() -> Iterator[object]:
    raise AssertionError("the registry was read")
    yield


def test_a_version_is_not_derived_twice(store: ServerStore) -> None:
    base = built(store, BASE, statistics=None)
    new = RELEASES["a new organisation"]
    made = derived(store, base, BASE, new)
    assert derived(store, base, BASE, new, changed=untouched(), names=untouched()) == made
    # The way back is the version that was built in full.
    assert derived(store, made, new, BASE, "1", changed=untouched(), names=untouched()) == base
    beside = derived(store, base, BASE, new, force=True)
    assert beside.version == f"{made.version}.2"
    assert stored(store, beside.version) == stored(store, made.version)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"statistics": ""}, "keeps no statistics"),
        ({"form": FORM - 1}, f"document form {FORM - 1}"),
        ({"encoder_fingerprint": "old"}, "encoder fingerprint old"),
        ({"version": "v1-by-hand"}, "organisations of other statuses"),
    ],
    ids=["statistics", "form", "encoder", "statuses"],
)
def test_a_base_that_cannot_be_one(
    store: ServerStore, changes: dict[str, object], says: str
) -> None:
    base = dataclasses.replace(built(store, BASE), **changes)  # type: ignore[arg-type]
    with pytest.raises(IndexMismatch, match=f"{says}.*resolver index build"):
        derived(store, base, BASE, BASE)
    with pytest.raises(IndexMismatch, match="other statuses"):
        derived(store, built(store, BASE), BASE, BASE, statuses=(ACTIVE,))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (BASE | release_of(renamed(ETH, "EPFL")), BASE, "does not have 000000001 'EPFL'"),
        (release_of(BUSAN, MINISTRY, HEALTH), BASE, "4 organisations written, 5 expected"),
        (BASE, {}, "no organisation to index"),
    ],
    ids=["another name", "an organisation too many", "nothing left"],
)
def test_a_difference_that_is_not_the_bases(
    store: ServerStore, old: Release, new: Release, says: str
) -> None:
    base = built(store, BASE)
    with pytest.raises(IndexProblem, match=says):
        derived(store, base, old, new)
    assert store.versions() == [base]


@pytest.mark.slow
def test_the_sample_with_the_built_in_encoder(embedded: EmbeddedStore, tmp_path: Path) -> None:
    """Real names and statistics of their own; a third of the organisations is changed."""
    encoder = load(BUILTIN, None)
    found = [o for o in open_release(sample.REGISTRY).records() if isinstance(o, Organisation)]
    old = release_of(*found)
    new = dict(old)
    for i, one in enumerate(found):
        match i % 12:
            case 0:
                del new[one.ror_id]
            case 1:
                shared = Name(found[i - 1].display_name, frozenset({NameKind.ALIAS}))
                new[one.ror_id] = dataclasses.replace(one, names=(*one.names, shared))
            case 2:
                new[one.ror_id] = dataclasses.replace(one, places=found[i - 1].places)
            case 3:
                new[one.ror_id] = dataclasses.replace(one, status=WITHDRAWN)
    full = EmbeddedStore(tmp_path / "full")
    base = built(embedded, old, statistics=None, encoder=encoder)
    made = derived(embedded, base, old, new, encoder=encoder)
    statistics = embedded.statistics(base.version)
    expected = built(full, new, "2", statistics=statistics, encoder=encoder)
    assert difference(embedded, made, full, expected) is None
    assert made.points != base.points


@pytest.mark.slowest
def test_two_releases_of_the_registry(embedded: EmbeddedStore, tmp_path: Path) -> None:
    """v2.8 and v2.9: the organisations that differ, and of the others each 40th."""
    files = [SHARED / f"data/registry/ror-v2.{minor}.json.gz" for minor in (8, 9)]
    if not all(file.is_file() for file in files):
        pytest.skip("needs two releases in ../shared/data/registry")
    old, new = (
        release_of(*(o for o in open_release(file).records() if isinstance(o, Organisation)))
        for file in files
    )
    some = {i for i in old.keys() | new.keys() if old.get(i) != new.get(i) or int(i, 36) % 40 == 0}
    assert len(some) > 2_430
    old, new = ({i: o for i, o in release.items() if i in some} for release in (old, new))
    full = EmbeddedStore(tmp_path / "full")
    encoder = load(BUILTIN, None)
    base = built(embedded, old, statistics=None, encoder=encoder)
    made = derived(embedded, base, old, new, encoder=encoder)
    statistics = embedded.statistics(base.version)
    expected = built(full, new, "2", statistics=statistics, encoder=encoder)
    assert difference(embedded, made, full, expected) is None


def test_pruning_keeps_what_is_needed(store: ServerStore) -> None:
    for sha in "01234":
        built(store, BASE, sha)
    versions = [manifest.version for manifest in store.versions()]
    store.activate(versions[0])
    assert prune(store, keep=1, needed={versions[2], "v0-gone"}) == [versions[1], versions[3]]
    assert [m.version for m in store.versions()] == [versions[0], versions[2], versions[4]]
    assert prune(store, keep=3) == []
    assert prune(store, keep=0) == [versions[2], versions[4]]


def test_pruning_leaves_what_is_open(
    embedded: EmbeddedStore, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (built(embedded, BASE, sha).version for sha in "12")
    reader = embedded.open(first)
    assert prune(embedded, keep=0) == [second]
    assert f"{first} is open in another process" in caplog.text
    reader.close()
    assert prune(embedded, keep=0) == [first]
