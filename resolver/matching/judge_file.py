"""The file that a judge, its sieve and its forecaster are kept in, and which models they go with.

A judge belongs to the encoder and the reranker whose candidates it was fitted on: with others
its weights mean nothing. A forecaster belongs to the judge, a sieve to the encoder. All belong to
the evidence that they were fitted to: its names, and how it is computed
(`resolver.matching.evidence.FORM`). The file holds them, and names models, evidence and form. It
may be without a forecaster; the reranker reads the whole shortlist then.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from resolver.encoder import Encoder
from resolver.errors import ModelError
from resolver.matching import evidence
from resolver.matching.forecaster import Forecaster
from resolver.matching.judge import Judge, LogitJudge, judge_of
from resolver.matching.policy import Operating
from resolver.matching.sieve import Sieve
from resolver.reranker import Reranker
from resolver.settings import BUILTIN
from resolver.weights import BUILTIN_FOLDER

log = logging.getLogger(__name__)

BUILTIN_JUDGE = BUILTIN_FOLDER / "judge.json"


def load_judge(name: str, encoder: Encoder, reranker: Reranker) -> Judge:
    """The judge of these two models, or, with a warning, one that goes by the reranker alone.

    `name` is "builtin" or the path of a file that `save_judge` wrote.

    Raises:
        ModelError: the file is missing or damaged, or was fitted to other evidence.
    """
    with _stored(name) as stored:
        judge = judge_of(stored["judge"])
        fitted = _fitted_with(stored, encoder, reranker)
    if fitted:
        return judge
    log.warning(
        "no judge was fitted with encoder %s and reranker %s: probabilities are the reranker's own",
        encoder.name,
        reranker.name,
    )
    calibration = reranker.calibration
    return LogitJudge(calibration.slope, calibration.intercept)


def load_sieve(name: str, encoder: Encoder) -> Sieve | None:
    """The sieve of this encoder; None, with a warning, when it was fitted with another one.

    It goes with any reranker, since it does not use its scores.

    Raises:
        ModelError: the file is missing or damaged, or was fitted to other evidence.
    """
    with _stored(name) as stored:
        sieve = Sieve.of_object(stored["sieve"])
        fitted = stored["encoder"] == encoder.fingerprint
    if fitted:
        return sieve
    log.warning(
        "no sieve was fitted with encoder %s: the reranker reads the first of its candidates",
        encoder.name,
    )
    return None


def load_forecaster(name: str, encoder: Encoder, reranker: Reranker) -> Forecaster | None:
    """The forecaster of the judge of these two models; None where the file has none, or its judge
    belongs to others.

    Raises:
        ModelError: the file is missing or damaged, or was fitted to other evidence.
    """
    with _stored(name) as stored:
        forecaster = stored.get("forecaster")
        if forecaster is None or not _fitted_with(stored, encoder, reranker):
            return None
        return Forecaster.of_object(forecaster)


def require_fitted(name: str, encoder: Encoder, reranker: Reranker) -> None:
    """Refuse a judge of other models, in whose place `load_judge` gives one that goes by the
    reranker alone.

    Raises:
        ModelError: it was fitted with others, or as for `load_judge`.
    """
    with _stored(name) as stored:
        fitted = _fitted_with(stored, encoder, reranker)
    if not fitted:
        raise ModelError(
            f"no judge was fitted with encoder {encoder.name} and reranker {reranker.name}",
            remedy="fit one first: resolver train --part judge",
        )


def load_operating(name: str, encoder: Encoder, reranker: Reranker) -> Operating:
    """Precision and recall at each threshold, as measured with the judge of these two models;
    empty where the file's judge belongs to others.

    Raises:
        ModelError: the file is missing or damaged.
    """
    with _stored(name) as stored:
        if not _fitted_with(stored, encoder, reranker):
            return ()
        return tuple(
            (float(accept), float(precision), float(recall))
            for accept, precision, recall in stored["operating"]
        )


@contextmanager
def _stored(name: str) -> Iterator[dict[str, Any]]:
    """The content of a judge's file. Whatever is wrong with it is an error that names its path."""
    path = BUILTIN_JUDGE if name == BUILTIN else Path(name)
    try:
        stored = orjson.loads(path.read_bytes())
        form = stored.get("form") if isinstance(stored, dict) else None
        if form != evidence.FORM:
            its = "names no form of evidence" if form is None else f"is of evidence form {form!r}"
            raise ValueError(f"it {its}, this program makes form {evidence.FORM}")
        yield stored
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path} is no judge of this version: {_message(error)}",
            remedy="install the package again"
            if name == BUILTIN
            else "fit one to what this version sees in an affiliation: resolver train --part judge",
        ) from error


def _message(error: Exception) -> str:
    return str(error) if type(error) is ValueError else repr(error)


def _fitted_with(stored: Mapping[str, Any], encoder: Encoder, reranker: Reranker) -> bool:
    models = (stored["encoder"], stored["reranker"])
    return models == (encoder.fingerprint, reranker.fingerprint)


def save_forecaster(forecaster: Forecaster, name: str, path: Path) -> None:
    """Write the file `name` of the judge that a forecaster belongs to, with that forecaster.

    Raises:
        ModelError: the judge's file is missing or damaged, or was fitted to other evidence.
    """
    with _stored(name) as stored:
        path.write_bytes(orjson.dumps(stored | {"forecaster": forecaster.as_object()}) + b"\n")


def save_judge(
    judge: Judge,
    sieve: Sieve,
    operating: Operating,
    encoder: Encoder,
    reranker: Reranker,
    path: Path,
) -> None:
    """Write judge and sieve with the models that they belong to, and their operating points."""
    stored = {
        "form": evidence.FORM,
        "encoder": encoder.fingerprint,
        "reranker": reranker.fingerprint,
        "sieve": sieve.as_object(),
        "judge": judge.as_object(),
        "operating": [list(point) for point in operating],
    }
    path.write_bytes(orjson.dumps(stored) + b"\n")


def fingerprint(part: Judge | Sieve | Forecaster) -> str:
    """Changes with the weights and the names of the evidence; part of every resolver version."""
    return hashlib.blake2b(orjson.dumps(part.as_object()), digest_size=8).hexdigest()
