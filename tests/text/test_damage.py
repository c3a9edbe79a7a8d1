import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.text.affiliation import normalise
from resolver.text.damage import respaced, restored


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"Technische Universit\"{a}t M\"{u}nchen", "Technische Universität München"),
        (r"Universit\'e de Montr\'eal", "Université de Montréal"),
        (r"{\'E}cole Polytechnique F\'{e}d\'{e}rale", "École Polytechnique Fédérale"),
        (r"Garc\'{\i}a, Mar\'\i a", "García, María"),
        (r"Gro{\ss}hadern, Troms\o, \O stfold, {\AA}bo", "Großhadern, Tromsø, Østfold, Åbo"),
        (r"Ko\c{c}, \c Cankaya, Bras\v{o}v, Erd\H{o}s", "Koç, Çankaya, Brasǒv, Erdős"),
        (r"\^Ile-de-France, S\~ao Paulo, \.Istanbul", "Île-de-France, São Paulo, İstanbul"),
        (r"Universit\\'e", "Université"),
        ('M"{u}nchen', "München"),
        (r"$^{1}$Dept. of Physics, $^{\dagger}$ Bonn", " 1 Dept. of Physics,   Bonn"),
        (r"\textit{Max Planck} Texas A\&M", "Max Planck Texas A&M"),
        ("Rio {G}rande", "Rio Grande"),
        (r"Bonn\nGermany", "Bonn Germany"),
        # No LaTeX: a Spanish street, a Hungarian one, a list of names, a price.
        (r"C\ Pedro Cerbuna 12, C\Sor Juana", r"C\ Pedro Cerbuna 12, C\Sor Juana"),
        (r"Bem tér 18\c, Debrecen", r"Bem tér 18\c, Debrecen"),
        ("{deng, wangji}@cs.fiu.edu", "{deng, wangji}@cs.fiu.edu"),
        ("100% of $5, Eco&Sols, #16-16 Connexis", "100% of $5, Eco&Sols, #16-16 Connexis"),
    ],
)
def test_latex(text: str, expected: str) -> None:
    assert restored(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("UC Berkeley#TAB#", "UC Berkeley "),
        ("Toulouse#R##N#France", "Toulouse  France"),
        ("Bonn, #N/A, Germany", "Bonn,  , Germany"),
        ("Universit<U+00E9> de Paris", "Université de Paris"),
        (r"Universit\u00e9 de Paris", "Université de Paris"),
    ],
)
def test_marks_of_exports(text: str, expected: str) -> None:
    assert restored(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("UniversitÃ© de MontrÃ©al", "Université de Montréal"),
        ("Technische UniversitÃ¤t MÃ¼nchen", "Technische Universität München"),
        ("SÃ£o Paulo, BrasÃ\xadlia", "São Paulo, Brasília"),
        ("CEREA, Ã\x89cole des Ponts", "CEREA, École des Ponts"),
        ("Universidad de LeÃ³n, Vitória", "Universidad de León, Vitória"),
        ("University of Haâ€™il", "University of Ha’il"),
        ("Ministero dell\x92Istruzione", "Ministero dell’Istruzione"),
        ("√©cole", "école"),
        ("РњРѕСЃРєРѕРІСЃРєРёР№ СѓРЅРёРІРµСЂСЃРёС‚РµС‚", "Московский университет"),
        ("SÃO PAULO, FUNDAÇÃO", "SÃO PAULO, FUNDAÇÃO"),
        ("Charité–Universitätsmedizin, “Santé” d’Orléans", None),
        ("Московский университет, 東京大学, جامعة القاهرة", None),
    ],
)
def test_mojibake(text: str, expected: str | None) -> None:
    assert restored(text) == (text if expected is None else expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("E´cole", "École"),
        ("Universita¨t", "Universität"),
        ("M¨unchen", "München"),
        ("Munchen¨", "Munchen"),
        ("Universite´ de Lorraine", "Université de Lorraine"),
        ("Universit´e Paris-Saclay", "Université Paris-Saclay"),
        ("Universit ́e Paris-Saclay", "Université Paris-Saclay"),
        ("Universita` di Pisa", "Università di Pisa"),
        ("D´epartement", "Département"),
        ("Sa˜o Paulo, Sa˜o Carlos", "São Paulo, São Carlos"),
        ("Fran¸cais, Franc¸ais", "Français, Français"),
        ("Gdan´sk", "Gdańsk"),
        ("Garc´ıa", "García"),
        ("Umea° University, A°bo", "Umeå University, Åbo"),
        # An apostrophe, a quote, an Uzbek letter, a degree.
        ("People´s, IFREMER´s", "People's, IFREMER's"),
        ("L´Aquila, O´Higgins, d´informatique", "L'Aquila, O'Higgins, d'informatique"),
        ("Xi´an", "Xi'an"),
        ("``Tor Vergata''", "``Tor Vergata''"),
        ("Farg`ona, Mirzo Ulug`bek", "Farg`ona, Mirzo Ulug`bek"),
        ("20 °C, N° 27", "20 °C, N° 27"),
        ("Hawaiʻi", "Hawaiʻi"),
    ],
)
def test_spacing_accents(text: str, expected: str) -> None:
    assert restored(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("¹Univ. of Bonn, ²Dept.", "1 Univ. of Bonn, 2 Dept."),
        ("ᵃSchool of Law", "a School of Law"),
        ("CNRS/IN²P³", "CNRS/IN2P3"),
        ("Sigma³", "Sigma3"),
    ],
)
def test_superscripts(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("U n i v e r s i t y of O x f o r d", "University of Oxford"),
        ("U n i v e r s i t y  o f  O x f o r d", "University of Oxford"),
        ("U n i v e r s i t y o f O x f o r d", "University of Oxford"),
        ("U N I V E R S I T Y", "UNIVERSITY"),
        ("93/1 A P C Road, J W M", "93/1 A P C Road, J W M"),
        ("University ofAmsterdam, andJILA", "University of Amsterdam, and JILA"),
        ("Universityof Ottawa", "University of Ottawa"),
        ("TechnologyAtlantaGA30332USA", "Technology Atlanta GA30332 USA"),
        ("27 Babbage RoadCambridge CB3 0FSUK", "27 Babbage Road Cambridge CB3 0FS UK"),
        ("United KingdomThe Institute", "United Kingdom The Institute"),
        ("ChinaDepartment of Physics", "China Department of Physics"),
        ("ChemistryUniversity of Washington", "Chemistry University of Washington"),
        ("1Department of Law, aUniversity", "1 Department of Law, a University"),
        ("Current addressMems AG", "Current address Mems AG"),
    ],
)
def test_spaces(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    "name",
    ["McGill University", "EuroMov", "BioTechMed-Graz", "PolyU", "CentraleSupélec", "PetroChina",
     "InstitutAgro", "ShanghaiTech University", "CollegeAmerica", "CenterState CEO", "AcademyHealth",
     "EngineeringUK", "IAM RoadSmart", "iSchool", "InterAcademy Panel", "NationsUniversity", "UKAEA",
     "IT4Innovations", "I2SysBio", "3M (Germany)", "gGmbH", "b<>com", "Alaka`ina", "KwaZulu-Natal",
     "Kütahya Dumlupınar", "VolkswagenStiftung", "Hofmann", "GGZ inGeest", "FranceAgriMer"],
)  # fmt: skip
def test_names_stay(name: str) -> None:
    assert normalise(name) == name


PIECES = ("Ã", "©", "Â", "\x80", "\x99", "â", "€", "™", "´", "`", "¨", "˜", " \u0301", "²", "ᵃ", "°",
          "\\", "{", "}", "$", "^", "'", '"', "c", "i", "u", "ss", "\\u00e9", "<U+00C3>", "#N#", "&lt;",
          "of", "University", "USA", "30332", "U n i v e r", "  ", " ", "е", "Р", "°")  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_mending_again_changes_nothing(raw: str) -> None:
    text = normalise(raw)
    assert normalise(text) == text


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    restored(text)
    respaced(text)


def test_the_library_is_loaded_by_the_first_text_that_needs_it() -> None:
    code = (
        "import sys; from resolver.text.affiliation import normalise;"
        "normalise('Université de Genève'); print('ftfy' in sys.modules);"
        "normalise('UniversitÃ©'); print('ftfy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
