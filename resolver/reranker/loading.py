"""Which reranker a setting means."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from resolver import weights
from resolver.errors import SettingsError
from resolver.reranker import Reranker
from resolver.reranker.onnx import MODEL, load_onnx
from resolver.settings import BUILTIN


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
) -> Reranker:
    """The built-in reranker, a folder that `resolver train` exported, any cross-encoder, or a
    server's address.

    `device` is torch's ("cpu", "cuda", "cuda:1"); the ONNX forms run on the
    CPU, on `threads` threads (None: one for each core), and leave it. `dtype` is what a
    checkpoint computes in ("float32", "float16", "bfloat16"; None: float16 on a GPU, float32
    elsewhere); the ONNX forms have their own. The rest is for servers
    (`resolver.reranker.remote.load_remote`).

    Raises:
        ModelError: the model cannot be loaded.
        RerankerUnavailable: the server does not answer.
        SettingsError: an address that is none, or a calibration for a model that has its own.
    """
    if "://" in name:
        from resolver.reranker.remote import load_remote

        return load_remote(
            name,
            api_key=api_key,
            calibration=calibration,
            timeout=timeout,
            in_flight=requests,
            ca_file=ca_file,
        )
    if calibration is not None:
        raise SettingsError(
            f"RESOLVER_RERANKER_CALIBRATION is set, but {name} is not on a server",
            remedy="unset it; a local model's calibration.json lies beside its weights",
        )
    if name == BUILTIN:
        return load_onnx(weights.BUILTIN_FOLDER / "reranker", name=BUILTIN, threads=threads)
    if (Path(name) / MODEL).is_file():
        return load_onnx(Path(name), name=name, threads=threads)
    from resolver.reranker.cross_encoder import load_cross_encoder

    return load_cross_encoder(name, device, dtype=dtype)


def runs_in_torch(name: str) -> bool:
    """Whether `load` of this name computes in torch in this process, so that it may use a GPU."""
    return name != BUILTIN and "://" not in name and not (Path(name) / MODEL).is_file()
