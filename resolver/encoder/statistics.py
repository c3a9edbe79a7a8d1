"""Statistics of all names of an index, which its sparse vectors depend on.

They say how rare each term is, and how words are written in another script. A full build computes
them from its release. An index derived from another keeps the statistics of that index, so the
vectors of unchanged names stay the same, bit for bit.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import numpy.typing as npt
import orjson

from resolver.encoder.lexical import (
    Floats,
    SparseVector,
    TermIds,
    document_vectors,
    in_order,
    terms,
)
from resolver.encoder.translation import Translation, learn
from resolver.registry.document import Document


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """`documents` is the number of names. `terms` (n,) uint32, ascending, distinct; `counts` (n,)
    uint32, the number of names that have each term; `translation` learnt from the same names.

    Release 2.8: 495,549 terms, 2 MB as a file.
    """

    documents: int
    terms: npt.NDArray[np.uint32]
    counts: npt.NDArray[np.uint32]
    translation: Translation = field(default_factory=lambda: Translation({}))

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits; equal for equal statistics, in whatever order the names came."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(self.documents.to_bytes(8, "little"))
        digest.update(len(self.terms).to_bytes(8, "little"))
        digest.update(self.terms.astype("<u4").tobytes())
        digest.update(self.counts.astype("<u4").tobytes())
        digest.update(_lexicons(self.translation))
        return digest.hexdigest()

    def idf(self, wanted: TermIds) -> Floats:
        """Inverse document frequency ln(1 + N / df) of each wanted term, in the same order.

        A new term gets the value of the rarest ones, which occur once.
        """
        df = np.ones(len(wanted))
        if len(self.terms):
            places = np.minimum(np.searchsorted(self.terms, wanted), len(self.terms) - 1)
            known = self.terms[places] == wanted
            df[known] = self.counts[places[known]]
        return np.log1p(self.documents / df)

    def vectors(
        self,
        documents: Sequence[Document],
        translated: Sequence[Mapping[int, float]] | None = None,
        *,
        names: Sequence[TermIds] | None = None,
    ) -> list[SparseVector]:
        """The sparse vector of each name, with the `translated` terms at the same position.

        `names` are the terms of the names, where they are known already.
        """
        return document_vectors(
            names or [in_order(terms(document.name)) for document in documents],
            translated or [{}] * len(documents),
            [document.identifiers for document in documents],
            self.idf,
        )

    def to_bytes(self) -> bytes:
        """A compressed npz archive."""
        file = io.BytesIO()
        np.savez_compressed(
            file,
            documents=np.array(self.documents, "<u8"),
            terms=self.terms.astype("<u4"),
            counts=self.counts.astype("<u4"),
            lexicons=np.frombuffer(_lexicons(self.translation), np.uint8),
        )
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Statistics:
        """What `to_bytes` wrote.

        Raises:
            ValueError: it is something else, or damaged.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                found = cls(
                    documents=int(arrays["documents"]),
                    terms=arrays["terms"].astype(np.uint32),
                    counts=arrays["counts"].astype(np.uint32),
                    translation=_translation(arrays["lexicons"].tobytes()),
                )
        except (KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"no statistics of an index: {error!r}") from error
        if found.terms.shape != found.counts.shape or found.terms.ndim != 1:
            raise ValueError("no statistics of an index: terms and counts do not match")
        return found


def counted(names: Sequence[TermIds], translation: Translation | None = None) -> Statistics:
    """Statistics of names, each given by its terms."""
    found, counts = np.unique(np.concatenate([np.empty(0, np.uint32), *names]), return_counts=True)
    return Statistics(len(names), found, counts.astype(np.uint32), translation or Translation({}))


def learnt(documents: Sequence[Document], names: Sequence[TermIds] | None = None) -> Statistics:
    """Statistics of names; those of one organisation must be adjacent.

    `names` are their terms, where they are known already.
    """
    organisations = [list(group) for _, group in groupby(documents, key=lambda d: d.ror_id)]
    return counted(
        names or [in_order(terms(document.name)) for document in documents], learn(organisations)
    )


def _lexicons(translation: Translation) -> bytes:
    """As JSON in a fixed order; floats are written so that reading gives the same values."""
    return orjson.dumps(
        [
            [*key, [[word, sorted(found.items())] for word, found in sorted(lexicon.items())]]
            for key, lexicon in sorted(translation.lexicons.items())
        ]
    )


def _translation(content: bytes) -> Translation:
    return Translation(
        {
            (country, script): {word: dict(found) for word, found in lexicon}
            for country, script, lexicon in orjson.loads(content)
        }
    )
