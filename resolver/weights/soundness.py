"""Whether a checkpoint is complete and its parts belong together.

transformers fills missing weights with random numbers, drops those that it does not know, and only
warns. Here both are errors: a model answers with its own weights or not at all. The functions take
a folder that `resolver.weights.checkpoints.opened` gave.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from resolver.errors import ModelError
from resolver.weights import TOKENIZER, read_tokenizer
from resolver.weights.files import CONFIG, MODULES, first_line, read_json

HARMLESS = re.compile(r"(^|\.)(position_ids|token_type_ids|rotary_emb\.inv_freq)$")
"""Buffers that older versions of transformers saved and newer ones compute."""

_BODY = re.compile(r"(^|\.)(embeddings?|encoder|layers?|h|blocks?|attention|attn|mlp)\.")
"""Weights of the network itself, not of a head."""

_POOLER = re.compile(r"(^|\.)pooler\.")
"""The head of BERT-like encoders that sentence-transformers does not use."""

UNUSED_ROWS = 0.1
"""Largest share of word embeddings without a token; more, and the tokenizer is another model's.
Published checkpoints pad the matrix by some hundred rows at most."""

PROBES = (
    "Department of Physics, University of Oslo, 0316 Oslo, Norway",
    "Universität  zu Köln;\tInstitut für Chemie (II)",
    "東京大学大学院医学系研究科 ﾄｳｷｮｳ",
    "Московский государственный университет им. М. В. Ломоносова",
    "e\u0301cole Polytechnique Fe\u0301de\u0301rale  de Lausanne — EPFL",
    "जवाहरलाल नेहरू विश्वविद्यालय, New Delhi‚ INDIA",
    "  MIT\u3000Cambridge, MA\u00a002139 ﬁ ①",
)
"""Texts on which normalisers differ: widths, combining marks, white space, case, scripts."""

_VOCABULARIES = ("vocab.*", "*.model", "*.vocab", "*.tiktoken")
"""Files that a tokenizer can be made from where there is no tokenizer.json."""

_LOAD_ERRORS = (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError)
"""What transformers raises for a checkpoint that it cannot load, SafetensorError (a
RuntimeError's sibling) apart."""


def require_loads(folder: Path, *, name: str) -> None:
    """Check a checkpoint by what it says it is: a classifier, or an encoder.

    Raises:
        ModelError: as `require_classifier`, `require_encoder` and `require_tokenizer`.
    """
    if (folder / CONFIG).is_file():
        classes = read_json(folder / CONFIG).get("architectures") or []
        if any("ForSequenceClassification" in str(kind) for kind in classes):
            require_classifier(folder, name=name)
        else:
            require_encoder(folder, name=name)
        require_tokenizer(folder, name=name)


def require_classifier(folder: Path, *, name: str) -> None:
    """Refuse all but cross-encoders with one label and all their weights.

    Reads the names and shapes of the weights, not the weights.

    Raises:
        ModelError: another architecture or number of labels; weights that are missing, of
            another shape, or of no use to the architecture.
    """
    config = read_json(folder / CONFIG)
    classes = [str(kind) for kind in config.get("architectures") or []]
    if classes and not any("ForSequenceClassification" in kind for kind in classes):
        raise ModelError(
            f"{name} is a {classes[0]}, no cross-encoder" + _what_it_is(folder, classes[0]),
            remedy="give a model with a classification head of one label (…ForSequence"
            "Classification), or fine-tune this one: resolver train --part reranker",
        )
    from transformers import AutoModelForSequenceClassification

    model = _checked(AutoModelForSequenceClassification, folder, name=name, heads=True)
    if model.config.num_labels != 1:
        raise ModelError(
            f"{name} has {model.config.num_labels} labels",
            remedy="a reranker has one: how well the document fits",
        )


def _what_it_is(folder: Path, kind: str) -> str:
    if kind.endswith(("ForCausalLM", "LMHeadModel")):
        return " but a generative language model"
    if (folder / MODULES).is_file():
        return " but a model of embeddings"
    return ": it has no classification head, and random numbers would take its place"


def require_encoder(folder: Path, *, name: str) -> None:
    """Refuse an encoder that lacks weights, or has some for another network.

    Heads of its training (masked words, classes) are left aside, as is a missing pooler, which
    sentence-transformers does not use.

    Raises:
        ModelError: weights of the network are missing, of another shape, or unknown to it.
    """
    config = folder / CONFIG
    # The encoder half of such a model is loaded by a class of its own.
    if config.is_file() and not read_json(config).get("is_encoder_decoder"):
        from transformers import AutoModel

        _checked(AutoModel, folder, name=name, heads=False)


def _checked(auto: Any, folder: Path, *, name: str, heads: bool) -> Any:
    """The model without its weights (on the meta device), after checking that all are there."""
    with loading(name, folder), _silence():
        model, report = auto.from_pretrained(
            folder,
            device_map="meta",
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    missing = {key for key in report["missing_keys"] if heads or not _POOLER.search(key)}
    unexpected = {
        key
        for key in report["unexpected_keys"]
        if not HARMLESS.search(key) and (heads or (_BODY.search(key) and not _POOLER.search(key)))
    }
    kind = type(model).__name__
    if shapes := sorted(report["mismatched_keys"]):
        key, shape, needed = shapes[0]
        raise ModelError(
            f"{name}: {len(shapes)} weights have another shape than its configuration says, "
            f"{key} {tuple(shape)} for {tuple(needed)}",
            remedy="config.json and the weights belong to different models: download both again",
        )
    if missing:
        raise ModelError(
            f"{name} lacks {_some(missing)} of a {kind}, and random numbers would take their place",
            remedy="download it again, or give a model that was saved whole",
        )
    if unexpected:
        raise ModelError(
            f"{name} has {_some(unexpected)} that a {kind} does not use: it is another network",
            remedy="give a model of an architecture that transformers has by itself",
        )
    if report["error_msgs"]:
        raise ModelError(
            f"{name}: {report['error_msgs'][0]}", remedy="download it again, or give another model"
        )
    return model


def _some(keys: Collection[str]) -> str:
    shown = ", ".join(sorted(keys)[:3])
    return f"{len(keys)} weights ({shown}{' …' if len(keys) > 3 else ''})"


@contextlib.contextmanager
def loading(name: str, folder: Path) -> Iterator[None]:
    """Turn the errors of transformers for a checkpoint that it cannot load into `ModelError`."""
    from safetensors import SafetensorError

    try:
        yield
    except (*_LOAD_ERRORS, SafetensorError) as error:
        raise ModelError(
            f"{name} cannot be loaded: {first_line(error).replace(str(folder), name)}",
            remedy="give a whole safetensors model of an architecture that transformers has",
        ) from error


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Without the progress bar and the load report: only the names of the weights are read."""
    from transformers.utils import logging

    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


def require_tokenizer(folder: Path, *, name: str) -> None:
    """Refuse a tokenizer that is not the model's own, as transformers loads it.

    Raises:
        ModelError: no tokenizer or a damaged one, tokens without an embedding, too many
            embeddings without a token, no special tokens, another padding token, or other ids
            than those of tokenizer.json.
    """
    from transformers import AutoTokenizer

    config = read_json(folder / CONFIG)
    remedy = "give the tokenizer that the model was trained with"
    path = folder / TOKENIZER
    own = _own_tokenizer(path, name) if path.is_file() else None
    if own is None and not any(any(folder.glob(pattern)) for pattern in _VOCABULARIES):
        raise ModelError(f"{name} has no tokenizer", remedy=remedy)
    with loading(name, folder):
        tokenizer = AutoTokenizer.from_pretrained(folder)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise ModelError(
            f"{name} has a tokenizer without tokenizer.json ({type(tokenizer).__name__})",
            remedy="save one with transformers: AutoTokenizer….save_pretrained",
        )
    needed = ["pad_token"] if _byte_level(backend) else ["pad_token", "unk_token"]
    absent = [role for role in needed if getattr(tokenizer, f"{role}_id", None) is None]
    if absent or tokenizer.num_special_tokens_to_add(pair=True) == 0:
        what = ", ".join(absent) or "tokens that tell the texts of a pair apart"
        raise ModelError(f"the tokenizer of {name} has no {what}", remedy=remedy)
    rows = config.get("vocab_size")
    largest = max(backend.get_vocab(with_added_tokens=True).values())
    if isinstance(rows, int):
        if largest >= rows:
            raise ModelError(
                f"the tokenizer of {name} has ids up to {largest:,}, its model {rows:,} word "
                "embeddings",
                remedy=remedy,
            )
        if largest + 1 < rows * (1 - UNUSED_ROWS):
            raise ModelError(
                f"the tokenizer of {name} has {largest + 1:,} tokens, its model {rows:,} word "
                "embeddings: they do not belong together",
                remedy=remedy,
            )
    padding = config.get("pad_token_id")
    if padding is not None and padding != tokenizer.pad_token_id:
        raise ModelError(
            f"the tokenizer of {name} pads with {tokenizer.pad_token_id}, its model with {padding}",
            remedy=remedy,
        )
    if own is not None and not same_ids(tokenizer, own):
        raise ModelError(
            f"transformers makes other tokens of some texts than the tokenizer.json of {name}",
            remedy="write a copy that keeps them: resolver models convert MODEL OUT",
        )


def _byte_level(backend: Tokenizer) -> bool:
    """Whether every text has tokens, so that none stands for the unknown."""
    return type(backend.model).__name__ == "BPE"


def same_ids(tokenizer: Any, own: Tokenizer) -> bool:
    """Whether a transformers tokenizer gives the ids of its tokenizer.json, on `PROBES`."""
    expected = [
        encoding.ids for encoding in own.encode_batch(list(PROBES), add_special_tokens=False)
    ]
    actual = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in PROBES]
    return bool(expected == actual)


def _own_tokenizer(path: Path, name: str) -> Tokenizer:
    try:
        return read_tokenizer(path)
    except ModelError as error:
        raise ModelError(
            f"the {path.name} of {name} is damaged", remedy="download the model again"
        ) from error
