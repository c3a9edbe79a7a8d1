"""The protocols of reranking servers: addresses, requests and answers.

Four forms are known. Three give logits: Infinity (github.com/michaelfeil/infinity,
``docs/assets/openapi.json`` of 0.0.63; checked against 0.0.78), TEI
(github.com/huggingface/text-embeddings-inference, ``docs/openapi.json`` of 1.7.1) and vLLM
(``/v1/rerank`` with ``use_activation``). The fourth is whatever else follows Cohere's ``/rerank``,
which gives probabilities.

All of the first three cut a pair that is too long from the end of its longer text, token by token
(the tokenizers' "longest first"). So the affiliation is cut first where it is the longer one.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx
import numpy as np
import orjson

from resolver.errors import ModelError, SettingsError
from resolver.network import addresses

MAX_DOCUMENTS = 256
"""Most documents in a request where the server states no limit; Infinity takes 2,048, Cohere 1,000.
One request occupies the server for longer the more it holds."""

CLIPPED = 1e-7
"""Probabilities are held this far from 0 and 1 before they become logits, which then lie within
±16.1. Single precision cannot tell the sigmoid of more from 1."""


@dataclass(frozen=True, slots=True)
class ServerForm:
    """How one family of servers is asked, and where its answers keep the scores.

    `raw` asks for logits, `activated` for the model's own activation; they are the same where a
    server has no choice. `results` None: the answer is the list itself.
    """

    name: str
    documents: str
    raw: Mapping[str, Any]
    activated: Mapping[str, Any]
    results: str | None
    score: str


INFINITY = ServerForm(
    "infinity",
    documents="documents",
    raw={"raw_scores": True, "return_documents": False},
    activated={"raw_scores": False, "return_documents": False},
    results="results",
    score="relevance_score",
)
TEI = ServerForm(
    "tei",
    documents="texts",
    raw={"raw_scores": True, "truncate": True},
    activated={"raw_scores": False, "truncate": True},
    results=None,
    score="score",
)
VLLM = ServerForm(
    "vllm",
    documents="documents",
    # -1: cut at the model's own length. The older names of use_activation may not stand beside
    # it: some versions read any of them as true.
    raw={"use_activation": False, "truncate_prompt_tokens": -1},
    activated={"use_activation": True, "truncate_prompt_tokens": -1},
    results="results",
    score="relevance_score",
)
COHERE = ServerForm(
    "cohere",
    documents="documents",
    raw={},
    activated={},
    results="results",
    score="relevance_score",
)
FORMS = {form.name: form for form in (INFINITY, TEI, VLLM, COHERE)}

_LARGEST = float(np.finfo(np.float32).max)
_SCHEME = re.compile(r"(?:([a-z]+)\+)?(https?)")
_SETTING = "RESOLVER_RERANKER"
_EXAMPLE = f"use http://host:7997, or one of {', '.join(f'{name}+http://…' for name in FORMS)}"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A setting's parts. `form` None: ask the server; `model` None: the only one it serves."""

    url: str
    form: ServerForm | None = None
    model: str | None = None
    logits: bool = False
    """Whether a server of the form `COHERE` gives logits all the same, as llama.cpp's does."""


def parse(name: str) -> ServerAddress:
    """The address in a setting: ``[form+]http[s]://host[:port][/prefix][?model=…][&scores=logits]``.

    Raises:
        SettingsError: it is no such address. A password in it is not repeated.
    """
    try:
        read = addresses.read(name)
        if read.host:
            httpx.URL(f"http://{read.place}")
    except (ValueError, httpx.InvalidURL):
        raise SettingsError(f"{_SETTING}: not a URL", remedy=_EXAMPLE) from None
    scheme = _SCHEME.fullmatch(read.scheme)
    if scheme is None or not (scheme[1] is None or scheme[1] in FORMS):
        raise SettingsError(f"{_SETTING}: {read.scheme}:// is not known here", remedy=_EXAMPLE)
    if read.user is not None:
        raise SettingsError(
            f"{_SETTING}: the address holds a user or a password, which would be shown",
            remedy="take it out, and set RESOLVER_RERANKER_API_KEY",
        )
    if not read.host or read.port == 0:
        raise SettingsError(f"{_SETTING}: not the address of a server", remedy=_EXAMPLE)
    form = FORMS[scheme[1]] if scheme[1] else None
    options = dict(read.options)
    model, scores = options.pop("model", None), options.pop("scores", None)
    if options:
        raise SettingsError(
            f"{_SETTING}: {sorted(options)[0]} is no part of an address",
            remedy="only ?model= and, for cohere+http, ?scores=logits may follow it",
        )
    if scores not in (None, "logits", "probabilities") or (scores and form is not COHERE):
        raise SettingsError(
            f"{_SETTING}: scores={scores} cannot be had",
            remedy="cohere+http takes scores=logits or scores=probabilities; "
            "the others are asked for logits",
        )
    if model == "" or (model is None and form is COHERE):
        raise SettingsError(
            f"{_SETTING}: no model is named", remedy="cohere+http://host?model=NAME names it"
        )
    path = read.path.rstrip("/").removesuffix("/rerank")
    return ServerAddress(
        url=str(replace(read, scheme=scheme[2], path=path)),
        form=form,
        model=model,
        logits=scores == "logits",
    )


@dataclass(frozen=True, slots=True)
class Served:
    """A model on a server. `identity` is what the server says about it that may change scores.

    The server's own version is left out: after each upgrade every judge would have to be refitted.
    """

    form: ServerForm
    url: str
    model: str
    identity: Mapping[str, object]
    batch: int = MAX_DOCUMENTS
    logits: bool = True
    named: bool = True
    """Whether requests name the model."""

    @property
    def name(self) -> str:
        """The model's address, which names it in `RESOLVER_RERANKER` too."""
        scores = "&scores=logits" if self.form is COHERE and self.logits else ""
        return f"{self.form.name}+{self.url}?model={self.model}{scores}"

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits; the same wherever the same model is served in the same form.

        Cohere-like servers say nothing about the model, so their address is part of it.
        """
        served = {"form": self.form.name, "model": self.model, "logits": self.logits}
        content = orjson.dumps({**served, **self.identity}, option=orjson.OPT_SORT_KEYS)
        return hashlib.blake2b(content, digest_size=16).hexdigest()

    def request(self, query: str, documents: Sequence[str], *, raw: bool = True) -> bytes:
        """The body of a request to ``url/rerank``."""
        body: dict[str, Any] = {"query": query, self.form.documents: list(documents)}
        if self.named:
            body["model"] = self.model
        return orjson.dumps({**body, **(self.form.raw if raw else self.form.activated)})

    def scores(self, answer: Any, *, count: int) -> list[float]:
        """The scores in an answer, in the order of the documents, as the server gives them.

        Raises:
            ModelError: it is of another model, or does not hold each document once with a
                finite score.
        """
        form = self.form
        # With a single model Infinity answers for it whatever name the request gives.
        if form is INFINITY and isinstance(answer, dict) and answer.get("model") != self.model:
            raise self._wrong(f"is of the model {answer.get('model')!r}, not of {self.model!r}")
        results = answer
        if form.results is not None:
            results = answer.get(form.results) if isinstance(answer, dict) else None
        if not isinstance(results, list):
            raise self._wrong("has no list of results")
        scores = [math.nan] * count
        seen: set[int] = set()
        for result in results:
            fields = result if isinstance(result, dict) else {}
            index, score = fields.get("index"), fields.get(form.score)
            if type(index) is not int or not 0 <= index < count:
                raise self._wrong(f"has the index {index!r} among {count} documents")
            if index in seen:
                raise self._wrong(f"scores document {index} twice")
            if (
                isinstance(score, bool)
                or not isinstance(score, int | float)
                or not abs(score) <= _LARGEST
            ):
                raise self._wrong(f"gives document {index} the score {score!r}")
            if not self.logits and not 0.0 <= score <= 1.0:
                raise self._wrong(
                    f"gives document {index} the score {score}, which is no probability",
                    remedy="add scores=logits to RESOLVER_RERANKER if these are logits",
                )
            seen.add(index)
            scores[index] = float(score)
        if len(seen) < count:
            missing = next(index for index in range(count) if index not in seen)
            raise self._wrong(
                f"scores {len(seen)} of {count} documents; document {missing} is missing"
            )
        return scores if self.logits else [_logit(score) for score in scores]

    def _wrong(self, reason: str, *, remedy: str | None = None) -> ModelError:
        return ModelError(
            f"the answer of the reranker at {self.url} {reason}",
            remedy=remedy or "check what RESOLVER_RERANKER names, and the server's log",
        )


def _logit(probability: float) -> float:
    clipped = min(max(probability, CLIPPED), 1.0 - CLIPPED)
    return math.log(clipped) - math.log1p(-clipped)


Get = Callable[[str], Any]
"""A path below the address → the JSON there, None where there is none."""


def identify(address: ServerAddress, get: Get) -> Served:
    """Which model, in which form, answers at an address.

    Raises:
        ModelError: the server is of no form known here, or does not serve the model, or several.
    """
    if address.form is COHERE:
        return Served(
            COHERE,
            address.url,
            address.model or "",
            identity={"server": address.url},
            logits=address.logits,
        )
    if address.form in (None, TEI):
        info = get("/info")
        if isinstance(info, dict) and isinstance(info.get("model_id"), str):
            return _from_info(address, info)
    if address.form is not TEI:
        for prefix in ("", "/v1"):
            listing = get(f"{prefix}/models")
            entries = listing.get("data") if isinstance(listing, dict) else None
            if not isinstance(entries, list):
                continue
            entries = [entry for entry in entries if isinstance(entry, dict)]
            owner = next((entry.get("owned_by") for entry in entries), None)
            form = address.form or {"infinity": INFINITY, "vllm": VLLM}.get(str(owner))
            if form is not None:
                return _from_listing(address, form, prefix, entries)
    wanted = address.form.name if address.form else "no reranking server known here"
    problem = f"is not of the form {wanted}" if address.form else f"is {wanted}"
    raise ModelError(
        f"what answers at {address.url} {problem}",
        remedy="check host, port and path; a server of another kind that has Cohere's /rerank is "
        "named cohere+http://…?model=NAME",
    )


def _from_info(address: ServerAddress, info: Mapping[str, Any]) -> Served:
    model = info["model_id"]
    kind = info.get("model_type")
    if not (isinstance(kind, dict) and "reranker" in kind):
        task = ", ".join(kind) if isinstance(kind, dict) else str(kind)
        raise ModelError(
            f"TEI at {address.url} serves {model} as {task}, not as a reranker",
            remedy="serve a sequence classifier with one label",
        )
    if address.model not in (None, model):
        raise _not_served(address, [model])
    batch = info.get("max_client_batch_size")
    return Served(
        TEI,
        address.url,
        model,
        identity={key: info.get(key) for key in ("model_sha", "model_dtype", "max_input_length")},
        batch=min(batch, MAX_DOCUMENTS) if type(batch) is int and batch > 0 else MAX_DOCUMENTS,
        named=False,
    )


def _from_listing(
    address: ServerAddress, form: ServerForm, prefix: str, entries: Sequence[Mapping[str, Any]]
) -> Served:
    rerankers = {
        entry["id"]: entry
        for entry in entries
        if isinstance(entry.get("id"), str) and "rerank" in entry.get("capabilities", ["rerank"])
    }
    if not rerankers:
        raise ModelError(
            f"the server at {address.url} has no model that reranks",
            remedy="serve a cross-encoder there",
        )
    if address.model is None and len(rerankers) > 1:
        raise ModelError(
            f"the server at {address.url} has several rerankers: {', '.join(sorted(rerankers))}",
            remedy=f"name one: {_SETTING}={address.url}?model=NAME",
        )
    model = address.model or next(iter(rerankers))
    if model not in rerankers:
        raise _not_served(address, sorted(rerankers))
    entry = rerankers[model]
    return Served(
        form,
        address.url + prefix,
        model,
        identity={key: entry[key] for key in ("backend", "root", "max_model_len") if key in entry},
    )


def _not_served(address: ServerAddress, there: Sequence[str]) -> ModelError:
    return ModelError(
        f"the server at {address.url} has no reranker {address.model}, but {', '.join(there)}",
        remedy=f"change ?model= in {_SETTING}, or serve that model",
    )
