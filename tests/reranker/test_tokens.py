from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from resolver import weights
from resolver.errors import ModelError
from resolver.reranker import Pair
from resolver.reranker.tokens import PairTokenizer, shortened, template

TEXTS = (
    "University of Oslo",
    "",
    " ",
    "Département de Physique, Université Paris-Sud, 91405 Orsay, France",
    "東京大学大学院医学系研究科",
    "Московский государственный университет",
    "</s> <s> <pad>",
    "x " * 300,
    "lone \udfff surrogate",
)
PAIRS: list[Pair] = [*product(TEXTS, TEXTS), ("University of Oslo", "University of Oslo")]


def builtin() -> Tokenizer:
    return weights.read_tokenizer(weights.BUILTIN_FOLDER / weights.TOKENIZER)


def bert() -> Tokenizer:
    """Words and letters, with BERT's template, whose second text is of another type."""
    letters = sorted({*"".join(TEXTS).encode("utf-8", "replace").decode()} - {" "})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = ["university", "University", "of", "Oslo", "France"]
    pieces = [*special, *words, *letters, *("##" + letter for letter in letters)]
    tokenizer = Tokenizer(
        models.WordPiece({one: i for i, one in enumerate(dict.fromkeys(pieces))}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


TOKENIZERS = {"builtin": builtin, "bert": bert}


def expected(
    tokenizer: Tokenizer, pairs: Sequence[Pair], max_length: int
) -> list[tuple[list[int], list[int]]]:
    """Ids and types as transformers gets them: cut by the tokenizer, "longest_first"."""
    tokenizer.enable_truncation(max_length)
    encodable = [(weights.encodable(one), weights.encodable(other)) for one, other in pairs]
    return [(one.ids, one.type_ids) for one in tokenizer.encode_batch(encodable)]


def found(tokens: PairTokenizer, pairs: Sequence[Pair]) -> list[tuple[list[int], list[int]]]:
    sequences = tokens.encode(pairs)
    types = np.zeros_like(sequences.ids) if sequences.types is None else sequences.types
    bounds = sequences.bounds[1:-1]
    return [
        (ids.tolist(), of_ids.tolist())
        for ids, of_ids in zip(
            np.split(sequences.ids, bounds), np.split(types, bounds), strict=True
        )
    ]


@pytest.mark.parametrize("max_length", [6, 7, 16, 17, 64, 512])
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_ids_are_the_tokenizers_own(kind: str, max_length: int) -> None:
    make = TOKENIZERS[kind]
    tokens = PairTokenizer(make(), max_length=max_length)
    wanted = expected(make(), PAIRS, max_length)
    assert found(tokens, PAIRS) == wanted
    # Now the documents are remembered.
    assert found(tokens, PAIRS[::-1]) == wanted[::-1]


_REFERENCE, _TOKENS = builtin(), PairTokenizer(builtin(), max_length=23, remembered=7)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60)), min_size=1, max_size=8))
def test_any_strings(pairs: list[Pair]) -> None:
    assert found(_TOKENS, pairs) == expected(_REFERENCE, pairs, 23)


@pytest.mark.slow
def test_ids_are_those_of_transformers() -> None:
    from transformers import PreTrainedTokenizerFast

    path = weights.BUILTIN_FOLDER / weights.TOKENIZER
    reference = PreTrainedTokenizerFast(tokenizer_file=str(path), pad_token="<pad>")
    pairs = [pair for pair in PAIRS if "\udfff" not in "".join(pair)]
    wanted = reference([list(pair) for pair in pairs], truncation=True, max_length=33)["input_ids"]
    assert [ids for ids, _ in found(PairTokenizer(builtin(), max_length=33), pairs)] == wanted


@pytest.mark.parametrize(
    ("kind", "separators", "tokens"),
    [("builtin", ([0], [2, 2], [2]), 4), ("bert", ([2], [3], [3]), 3)],
)
def test_the_template_is_read_off(
    kind: str, separators: tuple[list[int], ...], tokens: int
) -> None:
    read = template(TOKENIZERS[kind]())
    assert tuple(part.tolist() for part in read.separators) == separators
    assert read.tokens == tokens
    assert read.typed == (kind == "bert")


@pytest.mark.parametrize("pair", ["$B </s> $A", "$A $A $B", "$A $B </s> $A"])
def test_another_order_is_refused(pair: str) -> None:
    tokenizer = builtin()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair=pair, special_tokens=[("</s>", 2)]
    )
    with pytest.raises(ModelError, match="the tokenizer puts pairs together as"):
        PairTokenizer(tokenizer, max_length=64)


def test_no_room_is_refused() -> None:
    with pytest.raises(ModelError, match="5 tokens leave no room"):
        PairTokenizer(builtin(), max_length=5)


def test_types_are_left_out_for_a_model_that_takes_none() -> None:
    assert PairTokenizer(bert(), max_length=64).encode(PAIRS).types is not None
    assert PairTokenizer(bert(), max_length=64, typed=False).encode(PAIRS).types is None
    # All are 0.
    assert PairTokenizer(builtin(), max_length=64).encode(PAIRS).types is None


def test_no_pairs() -> None:
    sequences = PairTokenizer(builtin(), max_length=64).encode([])
    assert (len(sequences), len(sequences.ids), sequences.truncated) == (0, 0, 0)


def test_pairs_that_are_cut_are_counted() -> None:
    tokens = PairTokenizer(builtin(), max_length=64)
    pairs = [("x " * 300, "Oslo"), ("Oslo", "Oslo"), ("Oslo", "x " * 300)]
    assert tokens.encode(pairs).truncated == 2
    tokens.encode(pairs[1:])
    assert tokens.truncated == 3


@pytest.mark.parametrize(
    ("a", "b", "room", "lengths"),
    [
        (3, 4, 7, (3, 4)),
        (30, 4, 10, (6, 4)),
        (4, 30, 10, (4, 6)),
        (30, 40, 10, (5, 5)),
        # Of an odd room the longer text gets more; of two as long, the second.
        (40, 30, 11, (6, 5)),
        (30, 40, 11, (5, 6)),
        (30, 30, 11, (5, 6)),
        (0, 30, 11, (0, 11)),
    ],
)
def test_the_longer_text_is_cut(a: int, b: int, room: int, lengths: tuple[int, int]) -> None:
    first, second, cut = shortened(np.array([a]), np.array([b]), room)
    assert (first[0], second[0]) == lengths
    assert cut == (a + b > room)


class Counting:
    """A tokenizer that writes down what it was given."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer, self.seen = tokenizer, []

    def __getattr__(self, name: str) -> object:
        return getattr(self._tokenizer, name)

    def encode_batch_fast(self, texts: list[str], **kwargs: object) -> object:
        self.seen += texts
        return self._tokenizer.encode_batch_fast(texts, **kwargs)


def test_a_text_is_tokenised_once() -> None:
    tokenizer = Counting(builtin())
    tokens = PairTokenizer(tokenizer, max_length=64)
    pairs = [("a", "d1"), ("a", "d2"), ("b", "d1")]
    tokens.encode(pairs)
    assert sorted(tokenizer.seen) == ["a", "b", "d1", "d2"]
    tokenizer.seen.clear()
    tokens.encode([*pairs, ("c", "d3")])
    # Affiliations rarely return, documents do.
    assert sorted(tokenizer.seen) == ["a", "b", "c", "d3"]


def test_documents_that_were_not_used_lately_are_forgotten() -> None:
    tokenizer = Counting(builtin())
    tokens = PairTokenizer(tokenizer, max_length=64, remembered=8)
    reference = PairTokenizer(builtin(), max_length=64)

    def encode(*documents: str) -> list[str]:
        tokenizer.seen.clear()
        pairs = [("a", document) for document in documents]
        assert found(tokens, pairs) == found(reference, pairs)
        return sorted(set(tokenizer.seen) - {"a"})

    assert encode("d1", "d2", "d3") == ["d1", "d2", "d3"]
    assert encode("d4", "d5") == ["d4", "d5"]
    # d1 is of the older half: used, it is kept with the younger.
    assert encode("d1") == []
    assert encode("d6", "d7") == ["d6", "d7"]
    assert encode("d1", "d2") == ["d2"]
    # More at once than are ever remembered.
    many = [f"e{i}" for i in range(20)]
    assert encode(*many) == sorted(many)
