"""Articles in JATS XML: the text of an affiliation, ids, documents, archives, damage."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver import sample
from resolver.errors import FileBroken, IntakeError, SettingsError
from resolver.intake.files import AffiliationFile, read_file
from resolver.intake.format import Format
from resolver.intake.lines import MAX_LINE
from resolver.intake.record import AssertedRecord, SourceRecord

ETH = "https://ror.org/05a28rw58"

DOCTYPE = (
    '<!DOCTYPE article PUBLIC "-//NLM//DTD JATS (Z39.96) Journal Archiving and Interchange DTD '
    'v1.2 20190208//EN" "JATS-archivearticle1.dtd">'
)

DOI = '<article-id pub-id-type="doi">10.5555/A</article-id>'


def article(inside: str = "", ids: str = DOI, attributes: str = "", rest: str = "") -> str:
    meta = f"<article-meta>{ids}{inside}</article-meta>"
    return f"<article{attributes}><front><journal-meta/>{meta}</front>{rest}</article>"


def document(*articles: str, head: str = DOCTYPE, root: str = "pmc-articleset") -> bytes:
    whole = articles[0] if len(articles) == 1 else f"<{root}>{''.join(articles)}</{root}>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}\n{whole}\n'.encode()


def read(folder: Path, content: bytes, name: str = "a.xml", **options: Any) -> AffiliationFile:
    path = folder / name
    path.write_bytes(content)
    return read_file(path, **options)


def texts(rows: Iterable[SourceRecord | IntakeError]) -> list[str]:
    return [row.reason if isinstance(row, IntakeError) else row.affiliation for row in rows]


ROR = f'<institution-id institution-id-type="ror">{ETH}</institution-id>'

AFFILIATIONS = [
    # Text that has its punctuation
    ("<aff>ETH Zurich, Switzerland</aff>", ["ETH Zurich, Switzerland"]),
    ("<aff><institution>ETH</institution>, <country>Switzerland</country></aff>", ["ETH, Switzerland"]),
    ("<aff>\n  <institution>ETH</institution>,\n  Zurich\n</aff>", ["ETH, Zurich"]),
    ("<aff>Lab of <institution>ETH</institution> in <city>Zurich</city></aff>", ["Lab of ETH in Zurich"]),
    ("<aff><institution>ETH</institution> (<country>Switzerland</country>)</aff>", ["ETH (Switzerland)"]),
    # Parts without any
    ("<aff><institution>ETH</institution><country>Switzerland</country></aff>", ["ETH, Switzerland"]),
    (
        '<aff><institution content-type="dept">Physics</institution>\n<institution-wrap><institution>ETH</institution>'
        f"{ROR}</institution-wrap>\n<addr-line><named-content>Zurich</named-content></addr-line> <country>CH</country></aff>",
        ["Physics, ETH, Zurich, CH"],
    ),
    ("<aff><institution>ETH,</institution> <city>Zurich</city></aff>", ["ETH, Zurich"]),
    ("<aff>Physics<break/>ETH</aff>", ["Physics, ETH"]),
    # Labels, and what is no part of an affiliation
    ("<aff><label>1</label>ETH</aff>", ["ETH"]),
    ('<aff id="a1"><sup>1,*</sup> ETH</aff>', ["ETH"]),
    ("<aff><bold><sup>a</sup></bold><italic>ETH</italic> Zurich</aff>", ["ETH Zurich"]),
    ("<aff>1<sup>st</sup> Hospital</aff>", ["1st Hospital"]),
    ("<aff><label>1</label>ETH <label>2</label>MIT</aff>", ["ETH; MIT"]),
    ("<aff><sup>1</sup>ETH, <sup>2</sup>MIT</aff>", ["ETH, MIT"]),
    ("<aff>ETH, <email>a@example.org</email></aff>", ["ETH"]),
    ('<aff><xref ref-type="fn">1</xref>ETH<fn><p>now at MIT</p></fn></aff>', ["ETH"]),
    ("<aff>ETH<!-- or MIT --><?page 2?> Zurich</aff>", ["ETH Zurich"]),
    # Twice: as printed, in parts, and with the name of an authority file (SciELO)
    (
        '<aff><label>I</label><institution content-type="orgname">ETH</institution><addr-line><city>Zurich</city></addr-line>'
        '<institution content-type="original"><sup>I</sup> ETH. Zurich, CH</institution></aff>',
        ["ETH. Zurich, CH"],
    ),
    (
        '<aff><institution content-type="orgname">E.T.H.</institution><institution content-type="normalized">ETH</institution>'
        "<country>CH</country></aff>",
        ["E.T.H., CH"],
    ),
    # Characters
    ("<aff>Universit&auml;t Z&#252;rich &amp; ETH</aff>", ["Universität Zürich & ETH"]),
    ("<aff><![CDATA[R&D <ETH>]]></aff>", ["R&D <ETH>"]),
    # Where affiliations stand
    ("<contrib-group><contrib><aff>A</aff></contrib><aff>B</aff></contrib-group><aff>C</aff>", ["A", "B", "C"]),
    ("<aff-alternatives><aff>ETH</aff><aff>EPF</aff></aff-alternatives><aff>MIT</aff>", ["ETH", "MIT"]),
    ("<contrib><collab><contrib-group><contrib><aff>A</aff></contrib></contrib-group></collab></contrib>", ["A"]),
]  # fmt: skip


@pytest.mark.parametrize(("meta", "expected"), AFFILIATIONS)
def test_text_of_an_affiliation(tmp_path: Path, meta: str, expected: list[str]) -> None:
    assert texts(read(tmp_path, document(article(meta)))) == expected


@pytest.mark.parametrize(
    ("aff", "asserted"),
    [
        (f"<aff><institution-wrap>{ROR}<institution>ETH</institution></institution-wrap></aff>", (ETH,)),
        (f"<aff>ETH {ROR.replace('ror', 'ROR', 1)}</aff>", (ETH,)),
        ('<aff>ETH<institution-id institution-id-type="ringgold">27219</institution-id></aff>', ()),
        (f"<aff>ETH{ROR}{ROR.replace('05a28rw58', '042nb2s44')}</aff>", (ETH, "https://ror.org/042nb2s44")),
    ],
)  # fmt: skip
def test_ror_ids_are_kept_beside_the_text(
    tmp_path: Path, aff: str, asserted: tuple[str, ...]
) -> None:
    (record,) = read(tmp_path, document(article(aff)))
    assert record == AssertedRecord("jats", "10.5555/a", "ETH", 0, asserted=asserted)


def test_affiliation_that_is_an_id_alone_has_a_position(tmp_path: Path) -> None:
    rows = read(tmp_path, document(article(f"<aff>{ROR}</aff><aff>MIT</aff>")))
    assert list(rows) == [AssertedRecord("jats", "10.5555/a", "MIT", 1)]
    assert rows.remarks() == [
        "read as articles in JATS (recognised by its content): 1 works",
        "1 affiliations are an id without a text: there is nothing to resolve",
    ]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([("publisher-id", "x1"), ("doi", "https://doi.org/10.5555/B ")], "10.5555/b"),
        ([("pmid", "12"), ("pmc", "345")], "PMC345"),
        ([("pmcid", "PMC345")], "PMC345"),
        ([("pmid", "12")], "PMID12"),
    ],
)
def test_id_of_an_article(tmp_path: Path, ids: list[tuple[str, str]], expected: str) -> None:
    written = "".join(f'<article-id pub-id-type="{k}">{v}</article-id>' for k, v in ids)
    (record,) = read(tmp_path, document(article("<aff>ETH</aff>", ids=written)))
    assert isinstance(record, SourceRecord)
    assert record.external_id == expected


@pytest.mark.parametrize(
    "attributes", ["", ' xmlns="https://jats.nlm.nih.gov/ns/archiving/1.3/"', ' xml:lang="en"']
)
@pytest.mark.parametrize("head", [DOCTYPE, "", "<!-- made by hand --><?style x?>"])
@pytest.mark.parametrize("name", ["a.xml", "a.nxml", "a.xml.gz", "a"])
def test_documents(tmp_path: Path, name: str, head: str, attributes: str) -> None:
    rest = (
        "<body><p>text</p></body><back><ref-list/></back>"
        "<sub-article><front-stub><aff>no</aff></front-stub></sub-article>"
        "<response><front><article-meta><aff>no</aff></article-meta></front></response>"
    )
    one = article("<aff>ETH</aff>", attributes=attributes, rest=rest)
    two = article("<aff>MIT</aff>", DOI.replace("/A", "/B"), attributes, rest)
    content = document(one, two, head=head)
    packed = gzip.compress(content) if name.endswith(".gz") else content
    asked = Format.JATS if name == "a" else Format.AUTO
    rows = read(tmp_path, packed, name, format=asked)
    assert [(row.external_id, row.affiliation) for row in rows if isinstance(row, SourceRecord)] == [
        ("10.5555/a", "ETH"),
        ("10.5555/b", "MIT"),
    ]  # fmt: skip
    assert rows.form is Format.JATS


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1"])
def test_document_in_the_encoding_that_it_declares(tmp_path: Path, encoding: str) -> None:
    content = document(article("<aff>Zürich</aff>")).decode()
    content = content.replace("UTF-8", encoding)
    assert texts(read(tmp_path, content.encode(encoding))) == ["Zürich"]


def test_bad_articles_are_told_and_the_others_read(tmp_path: Path) -> None:
    rows = read(
        tmp_path,
        document(
            article("<aff>ETH</aff>", ids=""),
            article("<aff>A &nonsense; B</aff>"),
            "<article><front/></article>",
            article("<aff>ETH</aff>", ids='<article-id pub-id-type="doi">1</article-id>'),
            article("<aff>MIT</aff>"),
        ),
    )
    assert [text.split("a.xml, ")[-1] for text in texts(rows)] == [
        "work 1: article-id: there is no DOI, PMCID or PMID",
        "work 2: aff: the entity &nonsense; is not known",
        "work 3: article: it has no article-meta",
        "work 4: article-id: '1' is no DOI, such as 10.5555/12345678",
        "MIT",
    ]


ONE = article("<aff>ETH</aff>")


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        ("<article><front>", "Premature end of data"),
        ("<article></front>", "mismatch"),
        ("\x01", "invalid"),
        ("<article><front>" + "<x>" * 400, "depth"),
        (article("<aff>" + "x" * (MAX_LINE + 2**18) + "</aff>"), "."),
        (
            article() + "<article>" + "<p>x</p>" * (MAX_LINE // 7),
            "a record is longer than 16777216",
        ),
    ],
    ids=["cut", "mismatch", "control character", "deep", "long text", "long record"],
)
def test_document_that_breaks_off_is_told_after_its_works(
    tmp_path: Path, rest: str, reason: str
) -> None:
    content = f"<set>{ONE * 4}{' ' * 2**16}{rest}".encode()
    rows = read(tmp_path, content, format=Format.JATS)
    assert [next(rows) for _ in range(4)] == [AssertedRecord("jats", "10.5555/a", "ETH", 0)] * 4
    with pytest.raises(FileBroken, match=f"a.xml, work [56]: the file breaks off: .*{reason}"):
        list(rows)


def laughs(levels: int) -> str:
    """Entities of which each is ten times the one before."""
    entities = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(levels))
    return f'<!DOCTYPE article [<!ENTITY a0 "ha">{entities}]>'


@pytest.mark.parametrize(
    ("head", "aff"),
    [
        (laughs(3), "&a3;"),
        (f'{DOCTYPE[:-1]} [<!ENTITY x SYSTEM "file:///etc/passwd">]>', "&x;"),
        (f'{DOCTYPE[:-1]} [<!ENTITY x SYSTEM "http://127.0.0.1:9/x">]>', "&x;"),
        (f'{DOCTYPE[:-1]} [<!ENTITY % x SYSTEM "file:///etc/passwd"> %x;]>', "&passwd;"),
    ],
    ids=["expansion", "file", "network", "parameter"],
)
def test_no_entity_is_expanded_or_fetched(tmp_path: Path, head: str, aff: str) -> None:
    """The article is refused: what it says is not known."""
    tracemalloc.start()
    try:
        told = texts(read(tmp_path, document(article(f"<aff>{aff}</aff>"), head=head)))
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()
    assert len(told) == 1
    assert "is not known" in told[0]


def test_entities_that_grow_beyond_measure_break_the_file(tmp_path: Path) -> None:
    content = document(article("<aff>&a12;</aff>"), head=laughs(12))
    with pytest.raises(FileBroken, match="amplification"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"<html><p>an article</p></html>", {}, "no article in it"),
        (document(ONE), {"format": Format.CROSSREF}, "it is XML, and works of the format crossref"),
        (b'{"DOI": "10.5555/a"}', {"format": Format.JATS}, "it is no XML, and works of the format jats"),
    ],
)  # fmt: skip
def test_file_that_is_none_of_jats(
    tmp_path: Path, content: bytes, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        list(read(tmp_path, content, **options))


def archive(members: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def test_archive_of_articles(tmp_path: Path) -> None:
    """As PubMed Central packs them: the text, pictures and other files of each article."""
    members = {
        "PMC1/main.nxml": document(ONE),
        "PMC1/figure.jpg": b"\xff\xd8",
        "PMC2/main.nxml": document(ONE)[:-30],
        "PMC3/main.xml.gz": gzip.compress(document(ONE.replace("ETH", "MIT"))),
        "PMC4/data.json": b'[{"DOI": "10.5555/a"}]',
        "PMC5/other.xml": b"<html/>",
    }
    rows = read(tmp_path, archive(members), "all.tar.gz")
    good, told = [], []
    for row in rows:
        (told if isinstance(row, IntakeError) else good).append(row)
    assert texts(good) == ["ETH", "MIT"]
    assert [text.split("all.tar.gz:")[1].split(":")[0] for text in texts(told)] == [
        "PMC2/main.nxml, from work 1 on",
        "PMC4/data.json",
        "PMC5/other.xml",
    ]
    assert (
        rows.remarks()[-1] == "1 files of the archive are neither JSON nor XML, and were left out"
    )


def test_the_sample_is_recognised() -> None:
    rows = list(read_file(sample.JATS))
    assert [type(row) for row in rows] == [*4 * [AssertedRecord], IntakeError]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Of the process, since XML is read outside of Python: files of 16 and 48 MB."""
    import psutil

    body = "<body>" + "<p>some text of an article</p>" * 1_000 + "</body>"
    one = article("<aff>ETH Zurich</aff>", rest=body)
    process = psutil.Process()
    peaks = []
    for count in (500, 500, 1_500):
        path = tmp_path / f"{count}.xml.gz"
        path.write_bytes(gzip.compress(document(*[one] * count), 1))
        peak = 0
        for number, _ in enumerate(read_file(path)):
            if number % 50 == 0:
                peak = max(peak, process.memory_info().rss)
        assert number + 1 == count
        peaks.append(peak)
    assert peaks[2] - peaks[1] < 8 * 2**20


NODES = st.recursive(
    st.sampled_from(["ETH", " ", ", ", "&amp;", "&nbsp;", "&x;", "<!--c-->"]),
    lambda inner: st.builds(
        lambda tag, parts: f"<{tag}>{''.join(parts)}</{tag}>",
        st.sampled_from(
            ["aff", "article", "article-meta", "front", "sup", "label", "institution", "body",
             "aff-alternatives", "article-id", "break", "sub-article"]
        ),
        st.lists(inner, max_size=4),
    ),
    max_leaves=20,
)  # fmt: skip


@given(nodes=st.lists(NODES, max_size=4))
def test_whatever_xml_it_is_it_is_read_or_refused(
    nodes: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.xml"
    path.write_bytes(f"{DOCTYPE}<x>{article(''.join(nodes))}{''.join(nodes)}</x>".encode())
    with suppress(SettingsError):
        for row in read_file(path, format=Format.JATS):
            assert isinstance(row, (IntakeError, AssertedRecord))
            if isinstance(row, AssertedRecord):
                assert not set("\x01\x02\x03") & set(row.affiliation)
