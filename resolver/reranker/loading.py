"""The reranker that a name stands for (`RESOLVER_RERANKER`).

A name is looked up in this order (`form_of`):

1. a URL: a model on a server (`resolver.reranker.remote`);
2. ``builtin``: the ONNX model of the package;
3. a folder with `onnx.MODEL`, as ``resolver train --part reranker`` exports it: an ONNX model;
4. anything else, a folder or a hub id: a cross-encoder of sentence-transformers, in torch.

To add another form of reranker: write a class that is a `Reranker` in a module of its own, with a
function that loads it; add a member to `RerankerForm` and say in `form_of` which names mean it;
call the function in `load`; say in `runs_in_torch` whether it runs in torch. Then add it to
docs/models.md and to tests/reranker/test_loading.py. For another kind of server see
`resolver.reranker.servers.FORMS`.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import SecretStr

from resolver import weights
from resolver.errors import SettingsError
from resolver.reranker import Reranker
from resolver.reranker.onnx import MODEL, load_onnx
from resolver.settings import BUILTIN


class RerankerForm(StrEnum):
    """What a name stands for."""

    SERVER = "server"
    BUILTIN = "builtin"
    ONNX = "onnx"
    CROSS_ENCODER = "cross-encoder"


def form_of(name: str) -> RerankerForm:
    """The form of reranker that a name stands for; loads nothing."""
    if "://" in name:
        return RerankerForm.SERVER
    if name == BUILTIN:
        return RerankerForm.BUILTIN
    if (Path(name) / MODEL).is_file():
        return RerankerForm.ONNX
    return RerankerForm.CROSS_ENCODER


def runs_in_torch(name: str) -> bool:
    """Whether the reranker of this name runs in torch in this process, so that it may use a GPU."""
    return form_of(name) is RerankerForm.CROSS_ENCODER


def load(
    name: str,
    device: str | None,
    *,
    threads: int | None = None,
    dtype: str | None = None,
    api_key: SecretStr | None = None,
    calibration: Path | None = None,
    timeout: float = 30.0,
    requests: int = 8,
    ca_file: Path | None = None,
    scorer: Path | None = None,
) -> Reranker:
    """Load the reranker of a name.

    `device` ("cpu", "cuda", "cuda:1"; None: the best there is) and `dtype` ("float32", "float16",
    "bfloat16"; None: float16 on a GPU, float32 elsewhere) are for cross-encoders in torch. ONNX
    models run on the CPU, on `threads` threads (None: one for each core). With `scorer` the model
    is not loaded here: the scorer that listens on that Unix socket has it
    (`resolver.reranker.scorer`). The other arguments are for servers
    (`resolver.reranker.remote.load_remote`).

    Raises:
        ModelError: the model cannot be loaded, or is not the scorer's.
        RerankerUnavailable: the server or the scorer does not answer.
        SettingsError: the URL is wrong; there is a `calibration` for a model that has its own; or a
            scorer and a server are named.
    """
    form = form_of(name)
    if calibration is not None and form is not RerankerForm.SERVER:
        raise SettingsError(
            f"RESOLVER_RERANKER_CALIBRATION is set, but {name} is not on a server",
            remedy="unset it; a local model's calibration.json lies beside its weights",
        )
    if scorer is not None:
        if form is RerankerForm.SERVER:
            raise SettingsError(
                f"RESOLVER_SCORER is set, and the reranker is on the server {name}",
                remedy="unset one of them: a scorer computes models of this machine",
            )
        from resolver.reranker.scorer import connect

        return connect(scorer, name, timeout=timeout)
    match form:
        case RerankerForm.SERVER:
            from resolver.reranker.remote import load_remote

            return load_remote(
                name,
                api_key=api_key,
                calibration=calibration,
                timeout=timeout,
                in_flight=requests,
                ca_file=ca_file,
            )
        case RerankerForm.BUILTIN:
            return load_onnx(weights.BUILTIN_FOLDER / "reranker", name=BUILTIN, threads=threads)
        case RerankerForm.ONNX:
            return load_onnx(Path(name), name=name, threads=threads)
        case RerankerForm.CROSS_ENCODER:
            # Imports torch, which the other forms do without.
            from resolver.reranker.cross_encoder import load_cross_encoder

            return load_cross_encoder(name, device, dtype=dtype)
