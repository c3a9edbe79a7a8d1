import pytest

from resolver.text.segments import MAX_SEGMENTS, searched, segments


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("University of Bonn", []),
        ("Univ. Bonn, 53115 Bonn", ["Univ. Bonn", "53115 Bonn"]),
        ("Univ. Bonn, 53115, 12", ["Univ. Bonn"]),
        ("CNRS; ENS - Lyon", ["CNRS", "ENS", "Lyon"]),
        ("Max-Planck-Institut, Köln", ["Max-Planck-Institut", "Köln"]),
        ("東京大学、東京", ["東京大学", "東京"]),
        (
            "IGBMC, CNRS-INSERM-ULP, Illkirch",
            ["IGBMC", "CNRS-INSERM-ULP", "CNRS", "INSERM", "ULP", "Illkirch"],
        ),
        ("UMR 5631 CNRS-UdS", ["UMR 5631 CNRS-UdS"][:0]),
        ("a, b", []),
        ("", []),
        ("Bonn, Bonn", ["Bonn"]),
    ],
)
def test_segments(text: str, expected: list[str]) -> None:
    assert segments(text) == expected


def test_of_many_segments_the_last_are_kept() -> None:
    parts = [f"part {'x' * i}" for i in range(3, 30)]
    assert segments(", ".join(parts)) == parts[-MAX_SEGMENTS:]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("University of Bonn", []),
        ("University of Bonn, Bonn, Germany", ["University of Bonn"]),
        ("ETH, Zürich, 8092, Switzerland", ["ETH"]),
        ("Siemens, Erlangen, Germany", ["Siemens"]),
        ("Bell Labs, Murray Hill, NJ, USA", ["Bell Labs"]),
        (
            "Bell Labs, Murray Hill, University of Bonn",
            ["Bell Labs", "Murray Hill", "University of Bonn"],
        ),
        ("Dr. Ann Smith, CNRS, 12 Rue Cassini, Nice, France", ["CNRS"]),
        ("University of Bonn, CNRS", ["University of Bonn", "CNRS"]),
        ("Department of Physics, CNRS", ["CNRS"]),
        ("UMR CNRS 8182, Orsay, France", ["UMR CNRS 8182"]),
        ("Department of Physics, University of Bonn, Bonn, Germany", []),
        (
            "Department of Physics, University of Bonn, Max-Planck-Institut, Bonn",
            ["University of Bonn", "Max-Planck-Institut"],
        ),
        ("Department of Physics, Department of Chemistry", []),
        ("Department of Physics, Kiel", []),
        ("Department of Physics, Kelmar", ["Kelmar"]),
        ("12 Rue Cassini, Nice", []),
        ("", []),
    ],
)
def test_what_may_name_an_organisation_is_searched(text: str, expected: list[str]) -> None:
    assert searched(segments(text)) == expected


def test_only_segments_are_searched() -> None:
    every = segments("IGBMC, CNRS-INSERM-ULP, Department of Physics, Illkirch, France")
    assert searched(every) == [segment for segment in every if segment in searched(every)]
    assert searched(every) == ["IGBMC", "CNRS-INSERM-ULP", "CNRS", "INSERM", "ULP"]
