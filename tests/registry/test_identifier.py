import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.registry.identifier import identifiers_in, identifiers_of
from resolver.registry.organisation import (
    Identifier,
    Name,
    NameKind,
    Organisation,
    OrganisationStatus,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("University of Bonn, https://ror.org/041nas322", {"ror:041nas322"}),
        ("University of Bonn (grid.10388.32)", {"grid:grid.10388.32"}),
        ("GRID.10388.32 and Grid.7149.b", {"grid:grid.10388.32", "grid:grid.7149.b"}),
        ("University of Bonn ISNI: 0000 0001 2240 3300", {"isni:0000000122403300"}),
        ("isni.org/isni/000000012240330x", {"isni:000000012240330X"}),
        ("https://www.wikidata.org/wiki/Q152171", {"wikidata:Q152171"}),
        ("Wikidata Q152171", {"wikidata:Q152171"}),
        ("funder 10.13039/501100001659.", {"fundref:501100001659"}),
        ("e-mail: a.b@geo.uni-bonn.de", {"domain:geo.uni-bonn.de", "domain:uni-bonn.de"}),
        ("www.uni-bonn.de", {"domain:uni-bonn.de"}),
        ("see HTTPS://WWW.UNI-BONN.DE/en", {"domain:uni-bonn.de"}),
        ("Universität Köln, x@uni-koeln.de;", {"domain:uni-koeln.de"}),
    ],
)
def test_an_identifier_is_found(text: str, expected: set[str]) -> None:
    found = identifiers_in(text)
    assert expected <= found
    assert {one for one in found - expected if not one.startswith("domain:")} == set()


@pytest.mark.parametrize(
    "text",
    [
        "Department of Geophysics, Univ. Bonn, 53115 Bonn",
        "St.Petersburg State Univ.of Economics",
        "Tel. 0000 0001 2240 3300",
        "Q152171 Building",
        "grid.computing centre",
        "a@b",
        "ror.org/941nas322",
        "",
    ],
)
def test_nothing_is_taken_for_an_identifier(text: str) -> None:
    assert identifiers_in(text) == set()


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    assert all(":" in one for one in identifiers_in(text))


def _organisation(websites: tuple[str, ...] = (), domains: tuple[str, ...] = ()) -> Organisation:
    return Organisation(
        ror_id="041nas322",
        status=OrganisationStatus.ACTIVE,
        names=(Name("University of Bonn", frozenset({NameKind.DISPLAY})),),
        identifiers=(
            Identifier("isni", ("0000 0001 2240 3300",)),
            Identifier("grid", ("grid.10388.32",)),
            Identifier("wikidata", ("Q152171",)),
        ),
        domains=domains,
        websites=websites,
    )


def test_the_registry_writes_them_alike() -> None:
    text = "041nas322 ISNI 0000 0001 2240 3300, grid.10388.32, wikidata.org/wiki/Q152171, https://ror.org/041nas322"
    assert set(identifiers_of(_organisation())) <= identifiers_in(text)


@pytest.mark.parametrize(
    ("website", "domain"),
    [
        ("https://www.uni-bonn.de", "domain:uni-bonn.de"),
        ("http://uni-bonn.de/en/", "domain:uni-bonn.de"),
        ("https://www.uni-bonn.de/index.html", "domain:uni-bonn.de"),
        ("https://sites.example.com/some/group", None),
        ("https://example.com/?id=7", None),
        ("https://[broken", None),
        ("localhost", None),
    ],
)
def test_a_home_page_counts_by_its_host(website: str, domain: str | None) -> None:
    found = {one for one in identifiers_of(_organisation((website,))) if one.startswith("domain:")}
    assert found == ({domain} if domain else set())
