"""`Resolver` on the sample's index, as a program uses it."""

from __future__ import annotations

import fcntl
import pickle
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

import resolver as package
from resolver import Answer, Reason, Resolver, ResolverError, Settings
from resolver.api import resolver as module
from resolver.errors import AffiliationsError, IndexMissing, IndexUnavailable, SettingsError
from resolver.service.installation import Installation

OXFORD = "Dept. of Geophysics, Univ. of Oxford, Oxford, UK"
BOTH = "ETH Zurich and University of Bonn"
HOSPITAL = "東京大学医学部附属病院 循環器内科"
KINGS = "King's College London"


def ids(answer: Answer) -> list[str]:
    return [link.ror_id for link in answer.links]


def test_a_link_has_what_the_registry_says(resolver: Resolver) -> None:
    [answer] = resolver.resolve([OXFORD])
    [link] = answer.links
    assert (answer.affiliation, answer.text, answer.reason) == (OXFORD, OXFORD, None)
    assert (link.ror_id, link.ror_url) == ("052gg0110", "https://ror.org/052gg0110")
    assert (link.name, link.matched_name) == ("University of Oxford", "University of Oxford")
    assert (link.country_code, link.country, link.city) == ("GB", "United Kingdom", "Oxford")
    assert link.types == ("education", "funder")
    assert (link.rank, link.stands_for) == (1, ())
    assert 0.9 < link.probability < 1
    assert link.score is not None
    assert link.matched_text == OXFORD[link.start : link.end] == "Univ. of Oxford"


def test_the_matched_text_is_part_of_the_text_as_read(resolver: Resolver) -> None:
    [answer] = resolver.resolve(["<p>Dept.\tof &amp; more,  Univ. of Oxford</p>"])
    [link] = answer.links
    assert answer.text == "Dept. of & more, Univ. of Oxford"
    assert answer.text[link.start : link.end] == link.matched_text == "Univ. of Oxford"


def test_answers_are_those_of_the_matcher(home: Path, resolver: Resolver) -> None:
    """The way through is the same; here nothing is decided."""
    texts = [OXFORD, BOTH, HOSPITAL, "Department of Physics", "", "x" * 10_001]
    with Installation(Settings(home=home)) as opened, opened.open_matcher() as matcher:
        outcomes = matcher.resolve(texts)
    answers = resolver.resolve(texts)
    assert [(answer.affiliation, answer.reason) for answer in answers] == [
        (outcome.affiliation, outcome.reason) for outcome in outcomes
    ]
    assert [
        [(o.ror_id, o.name, o.matched_name, o.probability, o.score, o.rank) for o in one.links]
        for one in answers
    ] == [
        [(o.ror_id, o.name, o.matched_name, o.probability, o.score, o.rank) for o in one.links]
        for one in outcomes
    ]
    assert [answer.reason for answer in answers[3:]] == [
        Reason.DEPARTMENT_ONLY, Reason.EMPTY, Reason.TOO_LONG,
    ]  # fmt: skip


def test_a_missing_value_is_answered_as_empty(resolver: Resolver) -> None:
    answers = resolver.resolve([None, OXFORD, float("nan")])  # type: ignore[list-item]
    assert [answer.reason for answer in answers] == [Reason.EMPTY, None, Reason.EMPTY]
    assert [answer.affiliation for answer in answers] == ["", OXFORD, ""]


def test_nothing_is_answered_with_nothing(resolver: Resolver) -> None:
    assert resolver.resolve([]) == []


def test_each_answer_has_the_text_as_it_was_given(resolver: Resolver) -> None:
    written = ["Univ. of Oxford, UK", "Univ.  of Oxford, UK", "<b>Univ. of Oxford, UK</b>"]
    answers = resolver.resolve(written)
    assert [answer.affiliation for answer in answers] == written
    assert {answer.links for answer in answers} == {answers[0].links}


@pytest.fixture
def batch_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)


@pytest.mark.usefixtures("batch_of_two")
def test_batches_and_repeated_texts_keep_the_order(resolver: Resolver) -> None:
    texts = [OXFORD, BOTH, None, OXFORD, HOSPITAL, "Department of Physics", BOTH]
    reported: list[tuple[int, int]] = []
    answers = resolver.resolve(texts, progress=lambda done, total: reported.append((done, total)))
    assert answers == [resolver.resolve([text])[0] for text in texts]
    assert reported == [(0, 7), (4, 7), (6, 7), (7, 7)]


def test_a_hundred_thousand_texts_that_repeat_are_each_resolved_once(resolver: Resolver) -> None:
    texts = [OXFORD, BOTH, None, HOSPITAL] * 25_000
    reported: list[tuple[int, int]] = []
    answers = resolver.resolve(iter(texts), progress=lambda *counts: reported.append(counts))
    assert reported == [(0, 100_000), (100_000, 100_000)]
    assert answers[:4] * 25_000 == answers


def test_a_bar_is_shown_on_standard_error_alone(
    resolver: Resolver, capfd: pytest.CaptureFixture[str]
) -> None:
    resolver.resolve([OXFORD, BOTH], progress=True)
    output, errors = capfd.readouterr()
    assert output == ""
    assert "affiliations" in errors
    assert "2/2" in errors
    resolver.resolve([OXFORD])
    assert capfd.readouterr() == ("", "")


CHOICES: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "none": ({}, BOTH, ["041nas322", "05a28rw58"]),
    "max_links": ({"max_links": 1}, BOTH, ["041nas322"]),
    "countries": ({"countries": ["ch"]}, BOTH, ["05a28rw58"]),
    "types": ({"types": {"healthcare"}}, HOSPITAL, ["022cvpj02"]),
    "other types": ({"types": ("company",)}, HOSPITAL, []),
    "level": ({"level": "top-parent"}, KINGS, ["04cw6st05"]),
    "accept_probability": ({"accept_probability": 0.999}, BOTH, []),
    "target_precision": ({"target_precision": 0.995}, "UCL", []),
    "succession": ({"succession": "roll-forward"}, "Université Paris-Sud", ["03xjwb503"]),
    "None": ({"max_links": None, "level": None}, BOTH, ["041nas322", "05a28rw58"]),
}


@pytest.mark.parametrize(("choices", "text", "expected"), CHOICES.values(), ids=CHOICES)
def test_choices_of_a_call(
    resolver: Resolver, choices: dict[str, Any], text: str, expected: list[str]
) -> None:
    before = resolver.resolve([text])
    assert ids(resolver.resolve([text], **choices)[0]) == expected
    assert resolver.resolve([text]) == before


def test_what_stands_for_another_says_so(resolver: Resolver) -> None:
    [answer] = resolver.resolve([KINGS], level="top-parent")
    [link] = answer.links
    assert (link.name, link.stands_for) == ("University of London", ("0220mzb33",))
    assert (link.country, link.city) == ("United Kingdom", "London")


def test_choices_of_the_whole_and_of_a_call(home: Path) -> None:
    with Resolver(home, max_links=1, countries=["CH"]) as resolver:
        assert ids(resolver.resolve([BOTH])[0]) == ["05a28rw58"]
        assert ids(resolver.resolve([BOTH], countries=[])[0]) == ["041nas322"]


def test_the_environment_says_where_and_what(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESOLVER_HOME", str(home))
    monkeypatch.setenv("RESOLVER_MAX_LINKS", "1")
    monkeypatch.setenv("RESOLVER_TARGET_PRECISION", "0.9")
    with Resolver() as resolver:
        assert ids(resolver.resolve([BOTH])[0]) == ["041nas322"]
        assert len(resolver.resolve([BOTH], max_links=10, accept_probability=0.5)[0].links) == 2


def test_settings_take_the_place_of_the_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESOLVER_HOME", "/nowhere")
    with Resolver(settings=Settings(home=home, max_links=1)) as resolver:
        assert ids(resolver.resolve([BOTH])[0]) == ["041nas322"]


def test_a_folder_that_is_named_is_meant(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESOLVER_QDRANT_URL", "http://127.0.0.1:1")
    with Resolver(home) as resolver:
        assert resolver.release == "registry"
    with pytest.raises(IndexUnavailable):
        Resolver()


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": ({"max_link": 1}, "max_link: no such choice; there are .*max_links"),
    "out of range": ({"max_links": 0}, "max_links: 0 is not between 1 and 100"),
    "not a word": ({"level": "top"}, 'level: "top" is not one of named, most-specific'),
    "one string": ({"types": "education"}, "types: .*not a list"),
    "no country": ({"countries": ["UK"]}, "countries: 'UK' not in ISO 3166-1 alpha-2"),
    "out of reach": ({"target_precision": 0.999}, "0.999 is out of reach of these models"),
    "both": ({"target_precision": 0.9, "accept_probability": 0.5}, "given together with"),
}


@pytest.mark.parametrize(("choices", "message"), WRONG.values(), ids=WRONG)
def test_choices_that_make_no_sense(
    home: Path, resolver: Resolver, choices: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        resolver.resolve([OXFORD], **choices)
    with pytest.raises(SettingsError, match=message):
        Resolver(home, **choices)


NOT_OPENED: dict[str, tuple[dict[str, Any], type[ResolverError], str]] = {
    "no folder": (
        {"home": "/nowhere/a b"}, IndexMissing,
        "no index is active in /nowhere/a b/index — .* make one there: "
        "resolver --home '/nowhere/a b' migrate && resolver --home '/nowhere/a b' update",
    ),
    "no server": ({"qdrant_url": "http://127.0.0.1:1"}, IndexUnavailable, "127.0.0.1:1"),
    "both": (
        {"home": "a", "qdrant_url": "http://127.0.0.1:1"}, SettingsError,
        "home and qdrant_url exclude each other",
    ),
    "no address": ({"qdrant_url": "http://me:secret@host"}, SettingsError, "RESOLVER_QDRANT_URL"),
    "twice": (
        {"home": "a", "settings": Settings()}, SettingsError, "settings and home exclude",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("given", "kind", "message"), NOT_OPENED.values(), ids=NOT_OPENED)
def test_what_cannot_be_opened_says_what_helps(
    given: dict[str, Any], kind: type[ResolverError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        Resolver(**given)


def test_a_bare_string_is_an_error(resolver: Resolver) -> None:
    with pytest.raises(AffiliationsError, match=r"for one text: resolve\(\[text\]\)"):
        resolver.resolve(OXFORD)


def test_what_is_closed_says_so(home: Path) -> None:
    resolver = Resolver(home)
    assert repr(resolver) == "<Resolver: release registry, 312 organisations>"
    resolver.close()
    resolver.close()
    assert repr(resolver) == "<Resolver: closed>"
    for use in (lambda: resolver.resolve([OXFORD]), lambda: resolver.release):
        with pytest.raises(ResolverError, match="was closed — open another one"):
            use()


def test_an_open_version_is_held_until_it_is_closed(home: Path, tmp_path: Path) -> None:
    """By the lock that `resolver index prune` asks for before it removes a version."""
    copy = shutil.copytree(home, tmp_path / "copy", symlinks=True)
    [path] = copy.glob("index/versions/*/lock")
    with path.open() as lock:
        with Resolver(copy), pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_threads_wait_for_each_other(resolver: Resolver) -> None:
    expected = resolver.resolve([OXFORD, BOTH])
    answers: list[list[Answer]] = []
    threads = [
        threading.Thread(target=lambda: answers.append(resolver.resolve([OXFORD, BOTH])))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [expected] * 4


def test_answers_can_be_pickled(resolver: Resolver) -> None:
    answers = resolver.resolve([OXFORD, None])
    assert pickle.loads(pickle.dumps(answers)) == answers


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'resolver' has no attribute 'resolve'"):
        package.resolve  # noqa: B018
