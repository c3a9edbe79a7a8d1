from __future__ import annotations

from pathlib import Path

import pytest
from support.backfilling import AFFILIATIONS, deadly_environment

from resolver.backfill import pin as pins
from resolver.backfill.folder import Folder
from resolver.backfill.isolated import Isolated
from resolver.backfill.process import opened
from resolver.errors import BackfillError
from resolver.matching.outcome import Outcome
from resolver.service.installation import Installation
from resolver.text.affiliation import Affiliation

pytestmark = pytest.mark.slow

TEXTS = [Affiliation.of(raw).text for raw in AFFILIATIONS[:40]]


@pytest.fixture(scope="module")
def expected(pin_folder: Folder, scratch: Path, installation: Installation) -> list[Outcome]:
    pin = pins.read(pin_folder)
    with opened(pin, pins.fetch(pin_folder, pin, scratch), installation.settings) as matcher:
        return matcher.resolve([*map(Affiliation.stored, TEXTS)])


def links(outcomes: list[Outcome]) -> list[tuple[str, ...]]:
    return [tuple(link.ror_id for link in outcome.links) for outcome in outcomes]


def test_texts_that_kill_fail_and_the_others_are_answered(
    pin_folder: Folder,
    scratch: Path,
    expected: list[Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """KILLER ends the process as a fault of a library does."""
    monkeypatch.setenv("PYTHONPATH", deadly_environment()["PYTHONPATH"])
    pin = pins.read(pin_folder)
    texts = [*TEXTS[:20], "KILLER Institute", *TEXTS[20:]]
    with Isolated(pin, pins.fetch(pin_folder, pin, scratch)) as isolated:
        answers = isolated.answer(texts)
        # Of all, of its sixteen, and twice of the text itself.
        assert isolated.deaths == 1 + 1 + 2
    failed = [text for text, answer in zip(texts, answers, strict=True) if answer is None]
    assert failed == ["KILLER Institute"]
    assert links([answer for answer in answers if answer]) == links(expected)


def test_a_process_that_does_not_answer_is_taken_for_dead(isolated: Isolated) -> None:
    isolated._patience = 0.0
    with pytest.raises(BackfillError, match="died 3 times"):
        isolated.answer(TEXTS)


def test_other_models_than_the_pin_s_do_not_answer(pin_folder: Folder, scratch: Path) -> None:
    pin = pins.read(pin_folder)
    version = {**pin.version, "settings": {**pin.version["settings"], "judge": "another"}}
    other = pins.Pin(**{**vars(pin), "version": version})
    with pytest.raises(BackfillError, match="another judge than there is here"):
        Isolated(other, pins.fetch(pin_folder, pin, scratch))


def test_settings_of_the_machine_do_not_change_the_answers(
    pin_folder: Folder, scratch: Path, expected: list[Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What bears on an answer is the pin's: depths and policy."""
    monkeypatch.setenv("RESOLVER_RECALL_DEPTH", "1")
    monkeypatch.setenv("RESOLVER_MAX_LINKS", "1")
    monkeypatch.setenv("RESOLVER_COUNTRIES", "CH")
    pin = pins.read(pin_folder)
    with Isolated(pin, pins.fetch(pin_folder, pin, scratch)) as isolated:
        answers = isolated.answer(TEXTS)
    assert links([answer for answer in answers if answer]) == links(expected)
