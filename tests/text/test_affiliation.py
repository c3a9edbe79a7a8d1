import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolver.text.affiliation import MAX_CHARACTERS, Affiliation, Refusal, normalise, text_hash


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("University of Bonn", "University of Bonn"),
        ("", ""),
        (" \t\n\u00a0\u3000", ""),
        ("  Univ.\n of\t Bonn ", "Univ. of Bonn"),
        ("Texas A&amp;M", "Texas A&M"),
        ("Texas A&amp;amp;M", "Texas A&M"),
        ("Universit&eacute; de Gen&#232;ve", "Université de Genève"),
        ("<i>Institut</i> Pasteur<br/>Paris", "Institut Pasteur Paris"),
        ("p < 0.05, University of Bonn", "p < 0.05, University of Bonn"),
        ("&lt;b&gt;Bonn&lt;/b&gt;", "Bonn"),
        ("Ｔｏｋｙｏ　Ｕｎｉｖ．", "Tokyo Univ."),
        ("ﬁnance", "finance"),
        ("a\x00b\x07c", "a b c"),
        ("bad \ud800 half", "bad \ufffd half"),
        ("\ufeffUni\u00advers\u200bity", "University"),
        ("\u202eجامعة القاهرة\u202c", "جامعة القاهرة"),
        ("東京大学", "東京大学"),
        ("Lab 🧪 Bonn", "Lab 🧪 Bonn"),
        ("e\u0301cole", "école"),
        ("&" + "amp;" * 7 + "lt;b>Bonn", "Bonn"),
        ("&" + "amp;" * 8, "&"),
        ("Bonn " + "&" + "amp;" * 9, "Bonn"),
        ("&#" + "0" * 9_000 + "65;", "A"),
        ("Bonn &#" + "9" * 5_000 + ";", "Bonn \ufffd"),
    ],
    ids=lambda text: ascii(text[:40]),
)
def test_normalise(raw: str, expected: str) -> None:
    assert normalise(raw) == expected


@given(st.text(st.characters()))
def test_normalised_text_is_storable_and_stays(raw: str) -> None:
    text = normalise(raw)
    assert "\x00" not in text
    text.encode()
    assert text == " ".join(text.split())
    assert normalise(text) == text


PIECES = ("&", "amp;", "＆", "lt;", "<", "＜", "b", ">", "/", "#38;", "#x26;", "#65286;", "&#65018;",
          "&nbsp;", "\u0301", "\u0338", "\u200b", "\ufdfa", "\ud800", "\0", " ", "a")  # fmt: skip


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_normalise_settles_on_markup(raw: str) -> None:
    assert normalise(normalise(raw)) == normalise(raw)


@settings(deadline=None)
@given(
    st.integers(0, 3_000),
    st.sampled_from(["amp;", "#38;", "#x26;", "amp", "<a"]),
    st.sampled_from(["", "lt;b>Bonn", ">" * 3_000, "&z" * 2_000, "\ue000" * 2_000]),
)
def test_any_number_of_layers_settles(layers: int, layer: str, end: str) -> None:
    text = normalise("&" + layer * layers + end)
    assert normalise(text) == text


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("University of Bonn", "a9d878850171ac6a8368f03cb8172483"),
        ("Texas A&amp;amp;M", "9284c8a590ac0287a588542bb6e961da"),
        ("Universit&eacute; de Gen&#232;ve", "82f1e37a57899a2ba91227047b70fd61"),
        ("<i>Institut</i> Pasteur<br/>Paris", "333f9150d566085cac29d4409b84dee9"),
        ("Ｔｏｋｙｏ　Ｕｎｉｖ．", "6b3e703c65b9d5c3e153d1d79dfd7729"),
        ("\u202eجامعة القاهرة\u202c", "257d96e52a00b838e0ed070f0e80a72f"),
        ("e\u0301cole", "3ecaf6396198c530f559153aee5d7b1e"),
        ("Lab 🧪 Bonn, " * 40, "ea881cfb3fa2fe628fd1f2dbb116efb6"),
        ("R&D < 5 & Co", "ba428b810e00d8b8de798ca786bf8ab3"),
        ("", "cae66941d9efbd404e4d88758ea67670"),
    ],
)
def test_the_identity_of_a_text_never_changes(raw: str, expected: str) -> None:
    """Answers and overrides are stored under it."""
    assert text_hash(Affiliation.of(raw).text).hex() == expected


MARKUP = "<b>" * 1_611 + "Bonn" + "</b>" * 1_611


@pytest.mark.parametrize(
    ("raw", "text", "refused"),
    [
        ("", "", Refusal.EMPTY),
        ("\x00 <b></b>", "", Refusal.EMPTY),
        (" Univ.\n of Bonn", "Univ. of Bonn", None),
        ("x" * MAX_CHARACTERS, "x" * MAX_CHARACTERS, None),
        ("x" * 10_001, "x" * 10_001, Refusal.TOO_LONG),
        ("x" * 20_000, "x" * 10_001, Refusal.TOO_LONG),
        (" " * 10_001, " " * 10_001, Refusal.TOO_LONG),
        (MARKUP, MARKUP[:10_001], Refusal.TOO_LONG),
        ("\0\ud800" * 10_000, "\ufffd" * 10_001, Refusal.TOO_LONG),
        ("\ufdfa" * 555, normalise("\ufdfa" * 555), None),
        ("\ufdfa" * 560, normalise("\ufdfa" * 560)[:10_001], Refusal.TOO_LONG),
    ],
    ids=["empty", "nothing visible", "a text", "just short enough", "one too long", "too long",
         "blank and too long", "markup around a name", "what cannot be stored", "expands",
         "expands beyond"],
)  # fmt: skip
def test_what_is_made_of_a_text(raw: str, text: str, refused: Refusal | None) -> None:
    made = Affiliation.of(raw)
    assert made.raw == raw
    assert made.refused is refused
    assert made.text == text
    assert (len(made.text) > MAX_CHARACTERS) == (refused is Refusal.TOO_LONG)


RAW = st.text(st.characters()) | st.builds(
    lambda piece, count, end: piece * count + end,
    st.sampled_from(PIECES),
    st.integers(0, 12_000),
    st.sampled_from(["", "Bonn", "\ud800"]),
)


@settings(deadline=None)
@given(RAW)
def test_what_is_made_of_what_was_made_is_the_same(raw: str) -> None:
    made = Affiliation.of(raw)
    again = Affiliation.of(made.text)
    assert (again.text, again.refused) == (made.text, made.refused)
    stored = Affiliation.stored(made.text)
    assert (stored.text, stored.refused) == (made.text, made.refused)
    assert len(made.text) <= MAX_CHARACTERS + 1
    assert "\0" not in made.text
    made.text.encode()


@pytest.mark.parametrize(
    "piece",
    ["\ufdfa", "&amp;", "<b>", "&#65018;", " ", "a\u0301\u0316", "\0", "&#9999999999"],
    ids=ascii,
)
def test_a_text_of_15_mb_costs_no_more_than_its_beginning(piece: str) -> None:
    raw = piece * (15_000_000 // len(piece.encode()))
    tracemalloc.start()
    try:
        began = time.process_time()
        made = Affiliation.of(raw)
        seconds = time.process_time() - began
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert made.refused is Refusal.TOO_LONG
    assert seconds < 1
    assert peak < 1_000_000


@pytest.mark.parametrize(
    "raw",
    ["\ufdfa" * 10_000, "&" + "amp;" * 2_499, "&z" * 2_500 + "&" + "amp;" * 1_200,
     "<a" * 3_333 + ">" * 3_333, "a" + "\u0301\u0316" * 4_999, "\ue000" * 5_000 + "&" + "amp;" * 1_200],
    ids=["expands", "layers", "layers and no escapes", "tags in tags", "marks", "layers, private"],
)  # fmt: skip
def test_the_worst_text_that_is_read_is_soon_read(raw: str) -> None:
    began = time.process_time()
    Affiliation.of(raw)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C.S.I.R.O., Canberra", "CSIRO, Canberra"),
        ("cern", "CERN"),
        ("cern, Geneva", "cern, Geneva"),
        ("of", "of"),
        ("google", "google"),
        ("University of York", "University of York"),
    ],
)
def test_what_the_reranker_reads(text: str, expected: str) -> None:
    assert Affiliation.of(text).model_text == expected


def test_text_hash_tells_texts_apart_and_is_16_bytes() -> None:
    assert len(text_hash("a")) == 16
    assert text_hash("a") == text_hash("a") != text_hash("A")
