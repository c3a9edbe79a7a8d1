"""Any sentence-transformers cross-encoder as the reranker, by local path or hub id."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from resolver import weights
from resolver.errors import ModelError
from resolver.reranker import Calibration, Pair, require_texts
from resolver.reranker.calibration import CALIBRATION, read_calibration
from resolver.reranker.sequences import Sequences
from resolver.reranker.tokens import PairTokenizer
from resolver.weights import checkpoints, soundness

if TYPE_CHECKING:
    import torch
    from sentence_transformers import CrossEncoder
    from tokenizers import Tokenizer

    from resolver.reranker.packed import Engine

log = logging.getLogger(__name__)

MAX_LENGTH = 128
"""Tokens of a pair where the model names no shorter limit. Pairs have about 45; models for
passages allow 512 to 8,192, and padding or attention at that length is wasted."""


CHUNK = 32_768
"""Pairs that are tokenised at once: a GPU scores one chunk while the next is tokenised."""

PREDICTED = 64
"""Pairs of a batch of `CrossEncoder.predict`, for architectures without an engine."""


class CrossEncoderReranker:
    """A cross-encoder with one label; scores are its bare logits.

    `Engine` computes them where it knows the architecture and gives the tokens that the model's
    tokenizer does; else `CrossEncoder.predict` does. `dtype` names what the engine computes in;
    None: half precision on a GPU, float32 elsewhere.
    """

    def __init__(
        self,
        name: str,
        model: CrossEncoder,
        calibration: Calibration,
        fingerprint: str,
        *,
        dtype: str | None = None,
    ) -> None:
        self._name = name
        self._model = model
        self._calibration = calibration
        self._fingerprint = fingerprint
        self._truncated = 0
        # Its own copy: the model's is set to cut and to pad.
        self._tokenizer = copy.deepcopy(model.tokenizer.backend_tokenizer)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokens, reason = _tokens(model, self._tokenizer)
        self._engine = self._made(dtype or _dtype(model.device)) if self._tokens else None
        if reason:
            log.info("%s: %s; scoring by CrossEncoder.predict", name, reason)

    @property
    def name(self) -> str:
        return self._name

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def calibration(self) -> Calibration:
        return self._calibration

    @property
    def truncated(self) -> int:
        return self._truncated

    @property
    def model(self) -> CrossEncoder:
        """The model itself, in float32: `predict` and `rank`."""
        return self._model

    def close(self) -> None:
        """Nothing outside of this process is held."""

    @property
    def tokens(self) -> PairTokenizer | None:
        """None where `CrossEncoder.predict` scores."""
        return self._tokens

    @property
    def batch_tokens(self) -> int:
        return 0 if self._engine is None else self._engine.budget or 0

    def score(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        require_texts(pairs)
        if not pairs:
            return np.empty(0, np.float32)
        position = {pair: i for i, pair in enumerate(dict.fromkeys(pairs))}
        distinct = list(position)
        logits = self._predicted(distinct) if self._engine is None else self._computed(distinct)
        return logits[[position[pair] for pair in pairs]]

    def _computed(self, pairs: list[Pair]) -> npt.NDArray[np.float32]:
        tokens = self._tokens
        assert tokens is not None
        cut = 0

        def parts() -> Iterator[Sequences]:
            nonlocal cut
            cut = 0
            for start in range(0, len(pairs), CHUNK):
                part = tokens.encode(pairs[start : start + CHUNK])
                cut += part.truncated
                yield part

        logits = self._by_engine(parts, len(pairs))
        self._count_cut(cut, len(pairs))
        return logits

    def logits(self, sequences: Sequences) -> npt.NDArray[np.float32]:
        return self._by_engine(lambda: [sequences], len(sequences))

    def _by_engine(
        self, parts: Callable[[], Iterable[Sequences]], count: int
    ) -> npt.NDArray[np.float32]:
        engine = self._engine
        assert engine is not None
        logits = engine.score(parts())
        if np.isfinite(logits).all() or not engine.narrow:
            return logits
        # Half precision ends at 65,504; a model may have been trained beyond.
        log.warning(
            "%s: %d of %d scores are no numbers in half precision; in float32 from now on",
            self._name,
            np.count_nonzero(~np.isfinite(logits)),
            count,
        )
        self._engine = self._made("float32")
        return self._engine.score(parts())

    def _made(self, dtype: str) -> Engine:
        import torch

        from resolver.reranker.packed import Engine

        engine = Engine(self._model.model, self._model.device, getattr(torch, dtype))
        log.info(
            "%s: %s attention in %s on %s, %d tokens a batch",
            self._name,
            "padded" if engine.pads else "packed",
            dtype,
            engine.device,
            engine.budget,
        )
        return engine

    def _predicted(self, pairs: list[Pair]) -> npt.NDArray[np.float32]:
        import torch

        texts = [(weights.encodable(one), weights.encodable(other)) for one, other in pairs]
        self._count_cut(self._longer(texts), len(pairs))
        logits = self._model.predict(
            texts,
            batch_size=PREDICTED,
            # The class's default for one label is a sigmoid, which ties at both ends.
            activation_fn=torch.nn.Identity(),
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        return np.asarray(logits, np.float32)

    def _longer(self, pairs: list[Pair]) -> int:
        """Number of pairs that the model's tokenizer will cut."""
        special = self._model.tokenizer.num_special_tokens_to_add(pair=True)
        room = self._model.max_seq_length - special
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        length = {text: len(one) for text, one in zip(texts, encodings, strict=True)}
        return sum(length[one] + length[other] > room for one, other in pairs)

    def _count_cut(self, cut: int, of: int) -> None:
        if not cut:
            return
        self._truncated += cut
        longest = self._model.max_seq_length
        log.info("%s: cut %d of %d pairs to %d tokens", self._name, cut, of, longest)


def _tokens(model: CrossEncoder, tokenizer: Tokenizer) -> tuple[PairTokenizer | None, str]:
    """The tokenizer of pairs for the engine; None and a reason where the engine cannot be used."""
    from resolver.reranker.architecture import supports

    if len(model) != 1 or model.model is None or not supports(model.model):
        return None, f"no engine for {type(model.model).__name__}"
    if model.default_prompt_name is not None:
        return None, f"pairs get the prompt {model.default_prompt_name!r}"
    try:
        typed = "token_type_ids" in model.tokenizer.model_input_names
        tokens = PairTokenizer(tokenizer, max_length=model.max_seq_length, typed=typed)
    except ModelError as error:
        return None, error.problem
    # The tokenizer's settings may say to cut and join texts in another way.
    features = model.preprocess([list(pair) for pair in _PROBES])
    taken = features["attention_mask"].bool()
    ids = features["input_ids"][taken]
    types = features["token_type_ids"][taken] if typed else np.zeros(len(ids))
    ours = tokens.encode(_PROBES)
    our_types = np.zeros(len(ids)) if ours.types is None else ours.types
    if ours.ids.tolist() != ids.tolist() or our_types.tolist() != types.tolist():
        return None, "its tokenizer puts pairs together in a way of its own"
    return tokens, ""


_PROBES: list[Pair] = [
    ("Institut für Chemie, Universität Wien", "Universität Wien, Vienna, Austria"),
    ("東京大学 " * 600, "The University of Tokyo, Tokyo, Japan"),
    ("Oslo", "University of Oslo, Oslo, Norway; " * 600),
]
"""Pairs that show how a tokenizer joins two texts, and how it cuts them."""


def _dtype(device: torch.device) -> str:
    """Half precision on a GPU: float16 has eight times the resolution of bfloat16, in which many
    logits tie."""
    return "float16" if device.type == "cuda" else "float32"


def load_cross_encoder(
    name: str, device: str | None, *, dtype: str | None = None
) -> CrossEncoderReranker:
    """Load a cross-encoder; remote code, pickled weights and random numbers are refused.

    `dtype` is what it computes in ("float32", "float16", "bfloat16"); None: float16 on a GPU,
    float32 elsewhere.

    A ``calibration.json`` beside the weights is used; without one the probabilities are the
    plain sigmoid.

    Raises:
        ModelError: it is missing or damaged, needs code of its own, is no cross-encoder with one
            label, lacks weights or has others, or its tokenizer is another model's.
    """
    checkpoints.require_models(name)
    source = checkpoints.located(name)
    with checkpoints.opened(name, source=source) as folder:
        soundness.require_classifier(folder, name=name)
        soundness.require_tokenizer(folder, name=name)
        from sentence_transformers import CrossEncoder

        with soundness.loading(name, folder):
            model = CrossEncoder(
                str(folder),
                device=device,
                local_files_only=True,
                model_kwargs={"use_safetensors": True, "dtype": "float32"},
            )
    model.max_seq_length = min(model.max_seq_length or MAX_LENGTH, MAX_LENGTH)
    model.tokenizer.truncation_side = "right"
    return CrossEncoderReranker(
        name,
        model,
        read_calibration(source / CALIBRATION, name=name),
        checkpoints.checkpoint_fingerprint(source),
        dtype=dtype,
    )
