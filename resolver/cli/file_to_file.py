"""A file of affiliations → the same file with the organisations beside them (`resolver resolve
--out`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.text import Text

import resolver
from resolver.cli import completed_files
from resolver.cli.affiliation_files import Refusals
from resolver.cli.answer_store import Answer, AnswerStore
from resolver.cli.completed_files import InputColumns
from resolver.cli.terminal import progress, say
from resolver.disk import writing
from resolver.errors import SettingsError
from resolver.intake.whole_rows import RowFile, WholeRow
from resolver.matching.judge_file import fingerprint
from resolver.matching.matcher import Matcher
from resolver.matching.outcome_object import linked_organisations, place_of
from resolver.service.version import FORMS

BATCH = 256
"""Texts resolved and stored together: some seconds of work, which is what an interruption costs."""

REPORTED = 1_000
"""Rows read or written between two reports of progress."""


@dataclass(slots=True)
class FileToFile:
    """`read` opens the input, each time anew; `out` is the output. `refused` are bad rows of the
    input, which are not in the output."""

    read: Callable[[], RowFile]
    out: Path
    refused: Refusals = field(default_factory=Refusals)

    @property
    def store_path(self) -> Path:
        """Where answers are kept until the output is written."""
        return self.out.with_name(f".{self.out.name}.answers")

    def run(self, matcher: Matcher) -> None:
        """Resolve all texts of the input that have no answer yet, and write the output.

        Broken off at any point and run again, it goes on with the texts that are left, in the same
        batches: the output is that of an uninterrupted run.

        Raises:
            SettingsError, FileBroken: the input cannot be read.
            DiskFull: there is no room for the answers or the output.
        """
        columns = InputColumns()
        with AnswerStore(self.store_path, _configuration(matcher)) as store:
            if store.dropped:
                say(
                    f"{store.dropped:,} earlier answers were given by another index, model or "
                    "policy, and are given anew"
                )
            file = self.read()
            with progress("rows read") as report:
                store.count(
                    row.affiliation for row in _reported(self._noted(file, columns), report)
                )
            remarks = file.remarks()
            self._resolve(matcher, store)
            again = self.read()
            total, _ = store.rows()
            with writing(self.out), progress("rows written", total) as report:
                good = (row for row in again if isinstance(row, WholeRow))
                rows = ((row, store.answer(row.affiliation)) for row in _reported(good, report))
                completed_files.write(self.out, rows, columns, again)
            store.remove()
        say(f"{total:,} rows are in {self.out}")
        if (new := columns.new())[0] not in completed_files.LINKED:
            say(f"the input has some of these columns already: the new ones are {', '.join(new)}")
        for remark in remarks:
            say(Text.assemble(("file", "dim"), f" {remark}"))

    def _noted(self, file: RowFile, columns: InputColumns) -> Iterator[WholeRow]:
        for row in file:
            if isinstance(row, WholeRow):
                columns.add(row)
                yield row
            else:
                self.refused.add(row)

    def _resolve(self, matcher: Matcher, store: AnswerStore) -> None:
        total, answered = store.rows()
        if answered:
            say(f"going on: {answered:,} of {total:,} rows were answered before")
        done = 0
        with progress("rows", total - answered) as report:
            report(0)
            while batch := store.unanswered(BATCH):
                store.save(_answers(matcher, [(number, text) for number, text, _ in batch]))
                done += sum(rows for _, _, rows in batch)
                report(done)


def _reported(rows: Iterator[WholeRow], report: Callable[..., None]) -> Iterator[WholeRow]:
    """The same rows, counted for a progress bar."""
    number = 0
    for number, row in enumerate(rows, 1):
        if number % REPORTED == 0:
            report(number)
        yield row
    report(number)


def _answers(matcher: Matcher, texts: list[tuple[int, str]]) -> list[tuple[int, Answer]]:
    outcomes = matcher.resolve([text for _, text in texts])
    organisations = linked_organisations(matcher.recall.index, outcomes)
    return [
        (
            number,
            {
                "links": [
                    {
                        "ror_id": link.ror_id,
                        "name": link.name,
                        **place_of(organisations.get(link.ror_id)),
                        "probability": round(link.probability, 4),
                    }
                    for link in outcome.links
                ],
                "reason": outcome.reason,
            },
        )
        for (number, _), outcome in zip(texts, outcomes, strict=True)
    ]


def _configuration(matcher: Matcher) -> dict[str, object]:
    """All that an answer depends on."""
    return {
        "program": resolver.__version__,
        **FORMS,
        "index": matcher.recall.index.manifest.version,
        "encoder": matcher.recall.encoder.fingerprint,
        "reranker": [matcher.reranker.name, matcher.reranker.fingerprint],
        "judge": fingerprint(matcher.judge),
        "sieve": matcher.sieve and fingerprint(matcher.sieve),
        "forecaster": matcher.forecaster and fingerprint(matcher.forecaster),
        "depths": [matcher.recall_depth, matcher.rerank_depth, matcher.rerank_from],
        "policy": matcher.policy.as_object(),
    }


def require_input(given: list[str] | None, file: Path | None, out: Path) -> Path:
    """The one file that is to be completed.

    Raises:
        SettingsError: none or several are named, it is no file, or it is the output.
    """
    named = [*([file] if file else []), *map(Path, given or [])]
    if len(named) != 1 or str(named[0]) == "-":
        raise SettingsError(
            "--out needs one file of affiliations; a pipe cannot be read twice",
            remedy="resolver resolve in.csv --out out.csv",
        )
    (path,) = named
    if not path.is_file():
        raise SettingsError(
            f"{path} is no file", remedy="with --out, name the file of affiliations"
        )
    if out.exists() and out.samefile(path):
        raise SettingsError(f"{out} is the input", remedy="name another file for the output")
    return path
