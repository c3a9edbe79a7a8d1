"""Answers are kept until a file is done, each text once, in the order of the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from resolver.cli.answer_store import AnswerStore
from resolver.errors import SettingsError

TEXTS = ["b", "a", "b", "", "lone \ud800", "b"]
ONE, OTHER = {"index": "1"}, {"index": "2"}


def answer(text: str) -> dict[str, object]:
    return {"links": [], "reason": text.encode("utf-8", "replace").decode()}


def test_each_text_is_asked_for_once_in_order(tmp_path: Path) -> None:
    with AnswerStore(tmp_path / "store", ONE) as store:
        store.count(TEXTS)
        waiting = store.unanswered(10)
        assert [(text, rows) for _, text, rows in waiting] == [
            ("b", 3), ("a", 1), ("", 1), ("lone \ud800", 1),
        ]  # fmt: skip
        store.save([(number, answer(text)) for number, text, _ in waiting[:2]])
        assert store.rows() == (6, 4)
        assert store.unanswered(1) == waiting[2:3]
        assert store.answer("b") == answer("b")
        store.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_changed_keeps_the_answers_of_its_texts(tmp_path: Path) -> None:
    with AnswerStore(tmp_path / "store", ONE) as store:
        store.count(TEXTS)
        store.save([(number, answer(text)) for number, text, _ in store.unanswered(2)])
    with AnswerStore(tmp_path / "store", ONE) as store:
        assert store.dropped == 0
        store.count(["new", "a", "a"])
        assert store.rows() == (3, 2)
        assert [text for _, text, _ in store.unanswered(10)] == ["new"]


def test_answers_of_another_configuration_are_dropped(tmp_path: Path) -> None:
    with AnswerStore(tmp_path / "store", ONE) as store:
        store.count(TEXTS)
        store.save([(number, answer(text)) for number, text, _ in store.unanswered(3)])
    with AnswerStore(tmp_path / "store", OTHER) as store:
        assert store.dropped == 3
        store.count(TEXTS)
        assert store.rows() == (6, 0)


def test_a_batch_that_breaks_off_is_not_stored(tmp_path: Path) -> None:
    with AnswerStore(tmp_path / "store", ONE) as store:
        store.count(TEXTS)
        (first, *_), (second, *_), *_ = store.unanswered(2)
        with pytest.raises(TypeError):
            store.save([(first, answer("b")), (second, {"links": object()})])
        assert store.rows() == (6, 0)


def test_what_is_no_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"something else " * 100)
    with pytest.raises(SettingsError, match="file is not a database"):
        AnswerStore(tmp_path / "store", ONE)


def test_one_command_at_a_time(tmp_path: Path) -> None:
    with (
        AnswerStore(tmp_path / "store", ONE),
        pytest.raises(SettingsError, match="another command is writing this output"),
    ):
        AnswerStore(tmp_path / "store", ONE)
