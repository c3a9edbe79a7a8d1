"""Pairs of texts → token ids in arrays, without a loop over pairs.

Each text is tokenised once: the ids of documents are cached, since many strings have the same
candidates; an affiliation is tokenised once a call. Pairs are then joined by index arithmetic, with
the separators of the tokenizer's own post-processor. The ids equal those that the tokenizer gives
for the pair.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from resolver import weights
from resolver.errors import ModelError
from resolver.reranker import Pair
from resolver.reranker.sequences import Sequences, spans

Ids = npt.NDArray[np.int32]
Numbers = npt.NDArray[np.int64]

Number = TypeVar("Number", np.int32, np.int64)

REMEMBERED = 400_000
"""Documents whose ids are kept: every name of the largest registry so far (238k names, about
20 ids each) and half as many again; some 100 MB, most of it the texts."""

_PROBES = ("University of Oslo", "Norway")
"""Any two texts that have tokens, to see what the post-processor puts around them."""


@dataclass(frozen=True, slots=True)
class Template:
    """What stands before, between and behind the two texts of a pair.

    `separators` are three arrays of ids, `types` the token types of the five parts: before, first
    text, between, second text, behind.
    """

    separators: tuple[Ids, Ids, Ids]
    types: tuple[Ids, int, Ids, int, Ids]

    @property
    def typed(self) -> bool:
        """Whether there are token types other than 0."""
        return any(np.any(part) for part in self.types)

    @property
    def tokens(self) -> int:
        """Tokens that a pair has beside its texts'."""
        return sum(len(part) for part in self.separators)


def template(tokenizer: Tokenizer) -> Template:
    """Read the pair template off a tokenizer: ``<s> A </s></s> B </s>``, ``[CLS] A [SEP] B [SEP]``.

    It is applied to two texts, so every kind of post-processor will do. The tokenizer must be
    set neither to cut nor to pad.

    Raises:
        ModelError: no template, as the second text comes first, or a text twice or not at all.
    """
    bare = [tokenizer.encode(text, add_special_tokens=False) for text in _PROBES]
    whole = tokenizer.encode(*_PROBES)
    first, second = (len(encoding) for encoding in bare)
    of_text = np.array([-1 if text is None else text for text in whole.sequence_ids])
    ids, types = np.array(whole.ids, np.int32), np.array(whole.type_ids, np.int32)
    a, b = (int(np.argmax(of_text == number)) for number in (0, 1))
    parts = [0, a, a + first, b, b + second, len(ids)]
    expected = [*bare[0].ids, *bare[1].ids]
    if (
        sorted(parts) != parts
        or ids[[*range(a, a + first), *range(b, b + second)]].tolist() != expected
        # What is no separator is a text once more.
        or whole.special_tokens_mask.count(0) != len(expected)
    ):
        raise ModelError(
            f"the tokenizer puts pairs together as {whole.tokens}",
            remedy="use a cross-encoder that reads its first text first",
        )
    before, between, behind = (slice(parts[i], parts[i + 1]) for i in (0, 2, 4))
    return Template(
        (ids[before], ids[between], ids[behind]),
        (types[before], int(types[a]), types[between], int(types[b]), types[behind]),
    )


class PairTokenizer:
    """Pairs → `Sequences` of at most `max_length` tokens.

    A pair that is too long loses tokens of its longer text, down to the length of the other: a
    long affiliation is cut before its document, and a document only to what the affiliation
    leaves, or half of the room. (The strategy "longest_first" of transformers.) `truncated`
    counts the pairs cut, over all calls. Ids are below `vocabulary`. Safe to share between threads.

    `tokenizer` may be shared, as long as nobody sets it to cut or to pad. `typed` False is for a
    model without token types. Of documents, `remembered` at most are kept, and
    those of the last call.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        max_length: int,
        typed: bool = True,
        remembered: int = REMEMBERED,
    ) -> None:
        self.max_length = max_length
        self.truncated = 0
        self._tokenizer = tokenizer
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.template = template(self._tokenizer)
        self.vocabulary: int = self._tokenizer.get_vocab_size()
        self._typed = typed and self.template.typed
        self._room = max_length - self.template.tokens
        if self._room < 2:
            raise ModelError(
                f"{max_length} tokens leave no room for two texts",
                remedy="give the model's max_length in its tokenizer_config.json",
            )
        self._lock = threading.Lock()
        # Two generations: what was used since the last turn, and what was used before it. Of a
        # full store the older half goes, and no use has to be written down.
        self._half = max(1, remembered // 2)
        self._young, self._old = _Texts(), _Texts()

    @property
    def typed(self) -> bool:
        """Whether sequences have token types."""
        return self._typed

    def content(self) -> str:
        """The tokenizer as JSON, as tokenizer.json has it."""
        return self._tokenizer.to_str()

    def encode(self, pairs: Sequence[Pair]) -> Sequences:
        """One sequence for each pair, in order."""
        affiliations: dict[str, int] = {}
        first = np.fromiter(
            (affiliations.setdefault(text, len(affiliations)) for text, _ in pairs),
            np.int64,
            len(pairs),
        )
        with self._lock:
            documents = self._documents([document for _, document in pairs])
            second = np.fromiter(
                (documents.numbers[document] for _, document in pairs), np.int64, len(pairs)
            )
            texts = _Texts()
            self._tokenise(list(affiliations), texts)
            return self._join(texts, first, documents, second)

    def _documents(self, texts: list[str]) -> _Texts:
        """The young generation, with all of these texts in it."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._young.numbers]
        if missing and len(self._young.numbers) + len(missing) > self._half:
            self._old, self._young = self._young, _Texts()
            missing = list(dict.fromkeys(texts))
        known = [text for text in missing if text in self._old.numbers]
        if known:
            numbers = np.array([self._old.numbers[text] for text in known])
            self._young.extend(known, *self._old.take(numbers))
        self._tokenise([text for text in missing if text not in self._old.numbers], self._young)
        return self._young

    def _tokenise(self, texts: list[str], into: _Texts) -> None:
        if not texts:
            return
        encodings = self._tokenizer.encode_batch_fast(
            [weights.encodable(text) for text in texts], add_special_tokens=False
        )
        lengths = np.fromiter((len(encoding) for encoding in encodings), np.int64, len(texts))
        ids = chain.from_iterable(encoding.ids for encoding in encodings)
        into.extend(texts, np.fromiter(ids, np.int32, int(lengths.sum())), lengths)

    def _join(self, texts: _Texts, first: Numbers, documents: _Texts, second: Numbers) -> Sequences:
        (a_start, a), (b_start, b) = texts.places(first), documents.places(second)
        a, b, cut = shortened(a, b, self._room)
        self.truncated += cut
        before, between, behind = self.template.separators
        bounds = np.zeros(len(first) + 1, np.int64)
        np.cumsum(a + b + self.template.tokens, out=bounds[1:])
        starts = bounds[:-1]
        a_to = starts + len(before)
        b_to = a_to + a + len(between)
        ids = np.empty(bounds[-1], np.int32)
        for part, to in ((before, starts), (between, a_to + a), (behind, b_to + b)):
            for number, token in enumerate(part):
                ids[to + number] = token
        ids[spans(a_to, a)] = texts.ids[spans(a_start, a)]
        ids[spans(b_to, b)] = documents.ids[spans(b_start, b)]
        return Sequences(ids, bounds, self._types(starts, a_to, a, b_to, b, len(ids)), cut)

    def _types(
        self, starts: Numbers, a_to: Numbers, a: Numbers, b_to: Numbers, b: Numbers, total: int
    ) -> Ids | None:
        before, of_a, between, of_b, behind = self.template.types
        if not self._typed:
            return None
        types = np.zeros(total, np.int32)
        for part, to in ((before, starts), (between, a_to + a), (behind, b_to + b)):
            for number, kind in enumerate(part):
                types[to + number] = kind
        types[spans(a_to, a)] = of_a
        types[spans(b_to, b)] = of_b
        return types


def shortened(a: Numbers, b: Numbers, room: int) -> tuple[Numbers, Numbers, int]:
    """Lengths of the two texts of each pair after cutting the longer one to `room` tokens together;
    and how many pairs were cut."""
    short, over = np.minimum(a, b), a + b > room
    short = np.where(over, np.minimum(short, room // 2), short)
    long = np.where(over, room - short, np.maximum(a, b))
    first_is_longer = a > b
    return (
        np.where(first_is_longer, long, short),
        np.where(first_is_longer, short, long),
        int(over.sum()),
    )


class _Texts:
    """Ids of texts, one text behind the other; `numbers` says which text is which."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self._ids = np.empty(1 << 12, np.int32)
        self._bounds = np.zeros(1 << 9, np.int64)

    @property
    def ids(self) -> Ids:
        return self._ids

    def places(self, numbers: Numbers) -> tuple[Numbers, Numbers]:
        """Where in `ids` texts start, and how long they are."""
        starts = self._bounds[numbers]
        return starts, self._bounds[numbers + 1] - starts

    def take(self, numbers: Numbers) -> tuple[Ids, Numbers]:
        """The ids of some texts, one behind the other, and their lengths."""
        starts, lengths = self.places(numbers)
        return self._ids[spans(starts, lengths)], lengths

    def extend(self, texts: list[str], ids: Ids, lengths: Numbers) -> None:
        """Add texts that are not there yet."""
        count = len(self.numbers)
        used = int(self._bounds[count])
        self._ids = _grown(self._ids, used, used + len(ids))
        self._bounds = _grown(self._bounds, count + 1, count + 1 + len(texts))
        self._ids[used : used + len(ids)] = ids
        self._bounds[count + 1 : count + 1 + len(texts)] = used + np.cumsum(lengths)
        self.numbers.update(zip(texts, range(count, count + len(texts)), strict=True))


def _grown(array: npt.NDArray[Number], used: int, needed: int) -> npt.NDArray[Number]:
    """The array, or one at least twice as long with its first `used` elements."""
    if needed <= len(array):
        return array
    larger = np.empty(max(needed, 2 * len(array)), array.dtype)
    larger[:used] = array[:used]
    return larger
