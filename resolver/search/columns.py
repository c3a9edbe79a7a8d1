"""What results are filtered and counted by: for each organisation its types, status and places."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resolver.registry.organisation import Organisation

Numbers = npt.NDArray[np.int32]
"""Organisations by their place in the order of ROR ids, from 0. Shape (organisations,)."""

COLUMNS = (
    "status",
    "types",
    "country_code",
    "country_name",
    "continent_code",
    "continent_name",
)


@dataclass(frozen=True, slots=True)
class Column:
    """`values` are the distinct ones, sorted. The organisation `owners[i]` has the value
    `values[codes[i]]`; one may have several."""

    values: list[str]
    owners: Numbers
    codes: Numbers

    def having(self, wanted: Collection[str]) -> Numbers:
        """The organisations that have one of these values."""
        codes = [code for code, value in enumerate(self.values) if value in wanted]
        return self.owners[np.isin(self.codes, codes)]

    def counts(self, chosen: npt.NDArray[np.bool_]) -> list[tuple[str, int]]:
        """How many of the chosen organisations (shape (organisations,)) have each value; most
        first, then by value."""
        counts = np.bincount(self.codes[chosen[self.owners]], minlength=len(self.values))
        order = np.argsort(-counts, kind="stable")
        return [(self.values[i], int(counts[i])) for i in order if counts[i]]


@dataclass(slots=True)
class ColumnWriter:
    """Collects the columns of organisations, which come in the order of their numbers."""

    _pairs: dict[str, list[tuple[int, str]]] = field(
        default_factory=lambda: {name: [] for name in COLUMNS}
    )

    def add(self, number: int, organisation: Organisation) -> None:
        places = organisation.places
        for name, values in (
            ("status", [organisation.status.value]),
            ("types", organisation.types),
            ("country_code", [place.country_code for place in places]),
            ("country_name", [place.country for place in places]),
            ("continent_code", [place.continent_code for place in places]),
            ("continent_name", [place.continent for place in places]),
        ):
            for value in dict.fromkeys(values):
                if value:
                    self._pairs[name].append((number, value))

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        arrays: dict[str, npt.NDArray[np.generic]] = {}
        for name, pairs in self._pairs.items():
            values = sorted({value for _, value in pairs})
            codes = {value: code for code, value in enumerate(values)}
            arrays[f"{name}.values"] = np.array(values, dtype=np.str_)
            arrays[f"{name}.owners"] = _numbers(number for number, _ in pairs)
            arrays[f"{name}.codes"] = _numbers(codes[value] for _, value in pairs)
        return arrays


def _numbers(values: Iterable[int]) -> Numbers:
    return np.fromiter(values, dtype=np.int32)


def read_columns(arrays: dict[str, npt.NDArray[np.generic]]) -> dict[str, Column]:
    """The columns that `ColumnWriter.arrays` gave."""
    return {
        name: Column(
            [str(value) for value in arrays[f"{name}.values"]],
            arrays[f"{name}.owners"].astype(np.int32),
            arrays[f"{name}.codes"].astype(np.int32),
        )
        for name in COLUMNS
    }


def load_arrays(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of an .npz file, nothing in it being code."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
