import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.registry.identifier import identifiers_in, identifiers_of, written_identifiers
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
        ("isni.org/isni/0000000122403300", {"isni:0000000122403300"}),
        ("ISNI 0000-0001-2240-3300", {"isni:0000000122403300"}),
        ("Bonn (0000 0001 2240 3300)", {"isni:0000000122403300"}),
        ("ISNI 0000 0004 0383 060X; ISNI 0000 0004 0383 0608", {"isni:0000000403830608"}),
        ("https://www.wikidata.org/wiki/Q152171", {"wikidata:Q152171"}),
        ("Wikidata Q152171", {"wikidata:Q152171"}),
        ("Wikidata ID: q152171", {"wikidata:Q152171"}),
        ("funder 10.13039/501100001659.", {"fundref:501100001659"}),
        ("https://doi.org/10.13039/501100001659", {"fundref:501100001659"}),
        ("Crossref Funder ID 501100001659", {"fundref:501100001659"}),
        ("ROR ID 041nas322", {"ror:041nas322"}),
        ("x@pku.edu.cn", {"domain:pku.edu.cn"}),
        ("e-mail: a.b@geo.uni-bonn.de", {"domain:geo.uni-bonn.de", "domain:uni-bonn.de"}),
        ("www.uni-bonn.de", {"domain:uni-bonn.de"}),
        ("see HTTPS://WWW.UNI-BONN.DE/en", {"domain:uni-bonn.de"}),
        ("Universität Köln, x@uni-koeln.de;", {"domain:uni-koeln.de"}),
    ],
)
def test_an_identifier_is_found(text: str, expected: set[str]) -> None:
    assert identifiers_in(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Department of Geophysics, Univ. Bonn, 53115 Bonn",
        "St.Petersburg State Univ.of Economics",
        "Tel. 0000 0001 2240 3301",
        "Tel. 4992 0001 2240 3300",
        "0000-0002-1825-0097",
        "https://orcid.org/0000-0002-1825-0097",
        "a.b@gmail.com, c@vip.163.com, d@qq.com",
        "doi.org/10.1000/501100001659",
        "a@ac.uk",
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


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Oxford (ROR: 052gg0110).", ["ROR: 052gg0110"]),
        ("GRID: grid.4991.5, Oxford", ["GRID: grid.4991.5"]),
        ("ISNI 0000 0001 2240 3300, Bonn", ["ISNI 0000 0001 2240 3300"]),
        ("Peking, a_b@163.com; Bonn", ["a_b@163.com"]),
        ("see https://www.uni-bonn.de/en/x?y=1, Bonn", ["https://www.uni-bonn.de/en/x?y=1"]),
        ("University of Bonn", []),
    ],
)
def test_an_identifier_has_its_place_in_the_text(text: str, written: list[str]) -> None:
    assert [text[one.start : one.end] for one in written_identifiers(text)] == written


def _organisation(websites: tuple[str, ...] = (), domains: tuple[str, ...] = ()) -> Organisation:
    return Organisation(
        ror_id="041nas322",
        status=OrganisationStatus.ACTIVE,
        names=(Name("University of Bonn", frozenset({NameKind.DISPLAY})),),
        identifiers=(
            Identifier("isni", ("0000 0001 2240 3300",)),
            Identifier("grid", ("https://www.grid.ac/institutes/grid.10388.32",)),
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
        ("https://www.163.com", None),
        ("http://www.edu.cn", None),
        ("https://example.com/?id=7", None),
        ("https://[broken", None),
        ("localhost", None),
    ],
)
def test_a_home_page_counts_by_its_host(website: str, domain: str | None) -> None:
    found = {one for one in identifiers_of(_organisation((website,))) if one.startswith("domain:")}
    assert found == ({domain} if domain else set())
