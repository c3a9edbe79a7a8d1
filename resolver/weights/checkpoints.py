"""The one place where a Hugging Face checkpoint is opened, be it local or from a hub.

A checkpoint may hold more than numbers: code, pickles, adapters that name another repository,
attention kernels from a hub, quantised weights. None of that reaches transformers: it gets a folder
of links to the safetensors and vocabulary files, and configurations that name only architectures
which transformers has by itself. So no remote code can run, and there is no prompt to trust it; a
local folder is opened without network.

Serving, training and the encoder all do::

    with opened(name) as folder:
        config = AutoConfig.from_pretrained(folder)
        model = AutoModel.from_pretrained(folder, config=config, use_safetensors=True)
        tokenizer = AutoTokenizer.from_pretrained(folder)

The folder is gone after the block: load, or save a copy, within it. Then
`resolver.weights.soundness` says whether every weight was there and the tokenizer fits.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from resolver.errors import ModelError
from resolver.weights import TOKENIZER, fingerprint, gte, read_tokenizer
from resolver.weights.files import CONFIG, GOLDEN, MODULES, TOKENIZER_CONFIG, first_line, read_json

RECORDS = frozenset({GOLDEN, "report.json", "run.json", "training.json"})
"""Files beside a model that say how it was trained and measured."""

PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.joblib")
"""Weight files that can run code when they are loaded."""

_UNWANTED = (
    *PICKLES,
    "*.py",
    "*.h5",
    "*.msgpack",
    "onnx/*",
    "openvino/*",
    "*.onnx",
    "*.gguf",
)
"""Files of a hub repository that are not needed: pickles, code, other frameworks' forms."""

_SHOWN = {".safetensors", ".json", ".txt", ".model", ".tiktoken", ".vocab"}
"""Suffixes of the files that transformers may see."""

_HIDDEN = ("*.bin.index.json", "*processor_config.json", GOLDEN)

_SENTENCE_BERT = "sentence_*_config.json"
_SENTENCE_BERT_LOADS = (
    "model_args",
    "model_kwargs",
    "tokenizer_args",
    "processor_kwargs",
    "config_args",
    "config_kwargs",
)

_ATTENTION = ("attn_implementation", "_attn_implementation", "experts_implementation")
"""Keys that choose an implementation: a name with "/" would be fetched and run."""

_REBUILT = {"XLMRobertaTokenizer", "XLMRobertaTokenizerFast"}
"""Tokenizers that transformers 5 makes anew from the vocabulary, normaliser and all, whatever
tokenizer.json says; PreTrainedTokenizerFast takes it as it is."""

XLMR_TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
}
"""Defaults of `XLMRobertaTokenizer`, which `PreTrainedTokenizerFast` has to be told. No mask:
nothing here masks, and a trimmed vocabulary without one would grow by a token."""


def require_models(name: str) -> None:
    """Raise `ModelError` unless sentence-transformers is installed; imports nothing."""
    if importlib.util.find_spec("sentence_transformers") is None:
        raise _needs_models(name)


def _needs_models(name: str) -> ModelError:
    return ModelError(
        f"{name} needs sentence-transformers",
        remedy="install it: pip install 'affiliation-resolver[models]'",
    )


def located(name: str | Path) -> Path:
    """The folder of a checkpoint: the local path itself, or its download by hub id.

    Pickled weights and code are not downloaded.

    Raises:
        ModelError: there is no such folder or repository, or it cannot be reached.
    """
    folder = Path(name)
    return folder if folder.is_dir() else _downloaded(str(name))


def _downloaded(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError
    except ImportError as error:
        raise _needs_models(name) from error
    try:
        return Path(snapshot_download(name, ignore_patterns=list(_UNWANTED)))
    # huggingface_hub's HTTP and cache errors are OSErrors, its refusal of a name a ValueError.
    except (OSError, HFValidationError, ValueError) as error:
        raise ModelError(
            f"{name} is no folder, and no model of that name could be had: {first_line(error)}",
            remedy="check the name and the network, or give the path of a downloaded model",
        ) from error


@contextlib.contextmanager
def opened(name: str | Path, *, source: Path | None = None) -> Iterator[Path]:
    """A folder that transformers and sentence-transformers load without remote code.

    `name` is a local path or a hub id; `source` is what `located` gave for it, where the caller
    has asked already. See the module for what the folder holds and how to use it.

    Raises:
        ModelError: there is no such model, its weights are pickled, missing or cut short, its
            architecture needs code of its own, or its configuration cannot be trusted to mean
            what transformers would take it for.
    """
    require_models(str(name))
    source = source or located(name)
    with tempfile.TemporaryDirectory(prefix="checkpoint-") as temporary:
        folder = Path(temporary)
        _show(source, folder, name=str(name), place=_link)
        yield folder


def convert(name: str | Path, out: Path) -> Path:
    """Write a checkpoint in the form that transformers and sentence-transformers read natively.

    ``CrossEncoder(out)``, ``AutoModel….from_pretrained(out)`` and servers that use them need
    nothing of this project then. The weights are copied as they are; the configuration is
    translated, the tokenizer keeps its ids.

    Returns `out`.

    Raises:
        ModelError: as `opened`; or `out` has files already; or the copy does not load whole.
    """
    from resolver.weights import soundness

    require_models(str(name))
    source = located(name)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ModelError(f"{out} exists", remedy="name a folder that does not, or an empty one")
    out.mkdir(parents=True, exist_ok=True)
    try:
        _show(source, out, name=str(name), place=shutil.copyfile)
        for path in sorted(source.iterdir()):
            # The card and the licence go with the weights.
            if path.suffix == ".md" or path.name.startswith(("LICENSE", "LICENCE", "NOTICE")):
                shutil.copyfile(path, out / path.name)
        _keep_token_ids(out)
        soundness.require_loads(out, name=str(name))
    except ModelError:
        shutil.rmtree(out)
        raise
    return out


def checkpoint_fingerprint(folder: Path) -> str:
    """Fingerprint of a checkpoint: its weights, configurations and tokenizer, by sorted path.

    `folder` is what `located` gave, so that a copy elsewhere has the same.
    """
    kept = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix in {".safetensors", ".json", ".txt", ".model"}
        and path.name not in RECORDS
        and path.is_file()
    ]
    return fingerprint(kept)


def _show(source: Path, target: Path, *, name: str, place: Callable[[Path, Path], object]) -> None:
    """Put the files that transformers may see into `target`; `place` links or copies a file."""
    if (source / "adapter_config.json").is_file():
        raise ModelError(
            f"{name} is an adapter of another model",
            remedy="merge it into its base and save the whole model: merge_and_unload()",
        )
    folders = [source, *(source / folder for folder in _module_folders(source, name))]
    if not any((folder / CONFIG).is_file() for folder in folders) and len(folders) == 1:
        raise ModelError(f"{name} has no {CONFIG}", remedy="download the model again")
    seen = False
    for folder in folders:
        below = target / folder.relative_to(source)
        below.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.iterdir()):
            if path.suffix not in _SHOWN or not path.is_file():
                continue
            if any(path.match(pattern) for pattern in _HIDDEN):
                continue
            if path.suffix == ".safetensors":
                tensors(path)
                seen = True
            content = _native(path, name=name)
            if content is None:
                place(path, below / path.name)
            else:
                (below / path.name).write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    if not seen:
        pickled = any(path for pattern in PICKLES for path in source.rglob(pattern))
        raise ModelError(
            f"{name} has no safetensors weights" + (", only pickled ones" if pickled else ""),
            remedy="convert it to safetensors: pickled weights can run code, and are never loaded",
        )


def _link(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source.resolve())
    except OSError:  # Windows lets only some users make links.
        shutil.copyfile(source, target)


def _module_folders(source: Path, name: str) -> list[str]:
    """Subfolders that a sentence-transformers model keeps its modules in."""
    path = source / MODULES
    if not path.is_file():
        return []
    try:
        modules = [(str(m["type"]), str(m["path"])) for m in orjson.loads(path.read_bytes())]
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ModelError(f"{path} cannot be read: {error}", remedy="download it again") from error
    for kind, folder in modules:
        if not kind.startswith("sentence_transformers."):
            raise _needs_code(name, f"module {kind}")
        if Path(folder).is_absolute() or ".." in Path(folder).parts:
            raise ModelError(f"{path} names {folder}, outside the model", remedy="do not use it")
    return [folder for _, folder in modules if folder and (source / folder).is_dir()]


def _native(path: Path, *, name: str) -> dict[str, Any] | None:
    """The configuration to show in place of the file; None where the file is shown as it is."""
    change: Callable[[dict[str, Any], Path, str], dict[str, Any]]
    if path.name == CONFIG:
        change = _native_config
    elif path.name == TOKENIZER_CONFIG:
        change = _native_tokenizer
    elif path.match(_SENTENCE_BERT):
        change = _native_sentence_bert
    else:
        return None
    before = read_json(path)
    after = change(dict(before), path.parent, name)
    return None if after == before else after


def _native_config(config: dict[str, Any], folder: Path, name: str) -> dict[str, Any]:
    if "model_type" not in config:
        # The own small configuration of a sentence-transformers module (pooling, dense …).
        if folder.joinpath(MODULES).exists() or not folder.parent.joinpath(MODULES).exists():
            raise ModelError(
                f"{name}: {CONFIG} names no architecture (model_type)",
                remedy="download the model again",
            )
        return config
    import transformers
    from transformers import CONFIG_MAPPING

    try:
        if gte.is_legacy(config):
            config = gte.native_config(config)
        elif config["model_type"] == gte.NATIVE:
            gte.require_native_rope(config)
    except ModelError as error:
        raise ModelError(f"{name}: {error.problem}", remedy=error.remedy) from error
    if config["model_type"] not in CONFIG_MAPPING:
        if "auto_map" in config:
            raise _needs_code(name, f"model_type {config['model_type']}")
        raise ModelError(
            f"{name} is of an architecture that transformers {transformers.__version__} does not "
            f"have: {config['model_type']}",
            remedy="upgrade transformers, or give a model of an architecture that it has",
        )
    if config.pop("auto_map", None):
        classes = config.get("architectures") or []
        # Others use a known model_type for a network of their own.
        if not classes or not all(hasattr(transformers, str(one)) for one in classes):
            raise _needs_code(name, f"class {', '.join(map(str, classes)) or 'unknown'}")
    if config.get("quantization_config"):
        raise ModelError(
            f"{name} has quantised weights, whose scores are not those of the model itself",
            remedy="give the model as it was before",
        )
    return {key: value for key, value in config.items() if key not in _ATTENTION}


def _native_tokenizer(settings: dict[str, Any], folder: Path, name: str) -> dict[str, Any]:
    import transformers

    settings.pop("auto_map", None)
    kind = settings.get("tokenizer_class")
    own = (folder / TOKENIZER).is_file()
    if own and kind in _REBUILT:
        settings = {**XLMR_TOKENS, **settings, "tokenizer_class": "PreTrainedTokenizerFast"}
        # As their own class has it: "gte" has one token type, and a second would be out of range.
        settings.setdefault("model_input_names", ["input_ids", "attention_mask"])
    elif kind is not None and not own and not hasattr(transformers, kind.removesuffix("Fast")):
        raise _needs_code(name, f"tokenizer {kind}")
    return settings


def _native_sentence_bert(settings: dict[str, Any], _folder: Path, _name: str) -> dict[str, Any]:
    return {
        key: {name: option for name, option in value.items() if name not in _ATTENTION}
        if key in _SENTENCE_BERT_LOADS and isinstance(value, dict)
        else value
        for key, value in settings.items()
    }


def _needs_code(name: str, what: str) -> ModelError:
    return ModelError(
        f"{name} needs code of its own ({what}), and code from a model repository is never run",
        remedy="give a model of an architecture that transformers has by itself",
    )


def _keep_token_ids(folder: Path) -> None:
    """Make transformers read tokenizer.json where its own tokenizer would have other ids."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    from resolver.weights import soundness

    path = folder / TOKENIZER
    if not path.is_file():
        return
    own = read_tokenizer(path)
    with soundness.loading(str(folder), folder):
        tokenizer = AutoTokenizer.from_pretrained(folder)
    if soundness.same_ids(tokenizer, own):
        return
    settings = folder / TOKENIZER_CONFIG
    before = read_json(settings) if settings.is_file() else {}
    after = {
        **before,
        **{
            key: str(value)
            for key, value in tokenizer.special_tokens_map.items()
            if isinstance(value, str)
        },
        "tokenizer_class": PreTrainedTokenizerFast.__name__,
        "model_max_length": tokenizer.model_max_length,
        "model_input_names": tokenizer.model_input_names,
        "padding_side": tokenizer.padding_side,
    }
    settings.write_bytes(orjson.dumps(after, option=orjson.OPT_INDENT_2))


def tensors(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name → (dtype, shape) of the tensors in a safetensors file, without reading them.

    Raises:
        ModelError: the file is cut short or is none.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if start == b"version ":
            raise ModelError(
                f"{path} is a pointer of Git LFS, not the weights", remedy="run: git lfs pull"
            )
        length = int.from_bytes(start, "little")
        try:
            header = orjson.loads(file.read(length)) if length < size else None
            found = {
                key: (str(value["dtype"]), tuple(value["shape"]), value["data_offsets"][1])
                for key, value in (header or {}).items()
                if key != "__metadata__"
            }
        except (orjson.JSONDecodeError, KeyError, TypeError, IndexError) as error:
            raise ModelError(
                f"{path} is no safetensors file: {error}", remedy="download it again"
            ) from error
    expected = 8 + length + max((end for *_, end in found.values()), default=0)
    if header is None or size != expected:
        raise ModelError(
            f"{path} is damaged: it has {size:,} bytes"
            + (f" of {expected:,}" if header is not None else ", less than its own header"),
            remedy="download it again",
        )
    return {key: (dtype, shape) for key, (dtype, shape, _) in found.items()}
