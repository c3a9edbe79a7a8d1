"""What transformers is shown of a checkpoint, and what is refused at the door."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.tiny_models import save_bert, save_older_gte, save_sentence_transformer

from resolver.errors import ModelError
from resolver.weights.checkpoints import checkpoint_fingerprint, convert, opened, tensors

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("bert"), labels=1)


@pytest.fixture
def copy(bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert, tmp_path / "copy"))


def edit(path: Path, **change: object) -> None:
    content = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(content | change))


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_only_numbers_and_words_are_shown(copy: Path) -> None:
    for name in ("own.py", "pytorch_model.bin", "model.onnx", "trainer.pt", "golden.json"):
        (copy / name).write_text("")
    (copy / "checkpoints").mkdir()
    with opened(copy) as folder:
        assert {path.name for path in folder.iterdir()} == {
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
        }
    assert not folder.exists()


def test_the_original_stays_as_it_is(tmp_path: Path) -> None:
    source = save_older_gte(tmp_path / "older")
    before = checkpoint_fingerprint(source)
    with opened(source) as folder:
        assert read(folder / "config.json")["model_type"] == "gte"
    assert checkpoint_fingerprint(source) == before
    assert read(source / "config.json")["model_type"] == "new"


@pytest.mark.parametrize("name", ["golden.json", "report.json", "run.json", "training.json"])
def test_what_is_told_of_a_model_is_no_part_of_it(copy: Path, name: str) -> None:
    before = checkpoint_fingerprint(copy)
    (copy / name).write_text("{}")
    assert checkpoint_fingerprint(copy) == before


def test_code_that_is_not_needed_is_not_mentioned(copy: Path) -> None:
    """transformers would ask whether to run it, or what it is for."""
    code = {"AutoConfig": "evil.Config", "AutoModelForSequenceClassification": "evil.Model"}
    edit(copy / "config.json", auto_map=code, attn_implementation="someone/kernel")
    edit(copy / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]})
    edit(copy / "sentence_bert_config.json", model_args={"attn_implementation": "someone/kernel"})
    (copy / "evil.py").write_text("raise SystemExit('the code ran')")
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with opened(copy) as folder:
        shown = "".join(path.read_text() for path in folder.glob("*config.json"))
        assert "evil" not in shown
        assert "kernel" not in shown
        AutoTokenizer.from_pretrained(folder)
        AutoModelForSequenceClassification.from_pretrained(folder)


def test_a_local_model_needs_no_network(
    tmp_path: Path, bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError(f"connected to {arguments[1:]}")

    older = save_older_gte(tmp_path / "older")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("builtins.input", refuse)
    from resolver.reranker.loading import load

    for folder in (bert, older):
        assert load(str(folder), "cpu").score([("Oslo", "University of Oslo")]).shape == (1,)


def _own_architecture(folder: Path) -> None:
    edit(folder / "config.json", model_type="own", auto_map={"AutoModel": "own.Model"})


def _own_class(folder: Path) -> None:
    # A known model_type for another network, as ALiBi models that call themselves BERT.
    edit(
        folder / "config.json",
        architectures=["OwnBertForSequenceClassification"],
        auto_map={"AutoModelForSequenceClassification": "own.Model"},
    )


def _own_module(folder: Path) -> None:
    modules = [{"idx": 0, "name": "0", "path": "", "type": "own_code.Transformer"}]
    (folder / "modules.json").write_text(json.dumps(modules))


def _outside(folder: Path) -> None:
    kind = "sentence_transformers.models.Dense"
    modules = [{"idx": 0, "name": "0", "path": "../elsewhere", "type": kind}]
    (folder / "modules.json").write_text(json.dumps(modules))


def _own_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    edit(folder / "tokenizer_config.json", tokenizer_class="OwnTokenizer")


def _pickled(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file

    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()


def _cut(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def _cut_in_the_header(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])


def _pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "own architecture": (_own_architecture, "code of its own"),
    "own class": (_own_class, "code of its own.*OwnBert"),
    "own module": (_own_module, "code of its own.*own_code"),
    "own tokenizer": (_own_tokenizer, "code of its own.*OwnTokenizer"),
    "module outside": (_outside, "outside the model"),
    "unknown architecture": (
        lambda folder: edit(folder / "config.json", model_type="unheard"),
        "does not have: unheard",
    ),
    "no architecture": (
        lambda folder: (folder / "config.json").write_text("{}"),
        "names no architecture",
    ),
    "no config": (lambda folder: (folder / "config.json").unlink(), "no config.json"),
    "damaged config": (lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
    "config of another kind": (
        lambda folder: (folder / "config.json").write_text("[]"),
        "no JSON object",
    ),
    "adapter": (lambda folder: edit(folder / "adapter_config.json"), "adapter"),
    "quantised": (
        lambda folder: edit(folder / "config.json", quantization_config={"quant_method": "own"}),
        "quantised",
    ),
    "pickled": (_pickled, "only pickled ones"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "no safetensors"),
    "cut": (_cut, r"damaged: it has [\d,]+ bytes of [\d,]+"),
    "cut in the header": (_cut_in_the_header, "damaged"),
    "Git LFS": (_pointer, "Git LFS"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_trusted_is_refused(copy: Path, case: str) -> None:
    damage, said = REFUSED[case]
    damage(copy)
    with pytest.raises(ModelError, match=said) as caught, opened(copy):
        pass
    assert str(copy) in str(caught.value)
    assert caught.value.remedy


def test_a_name_that_is_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError) as caught, opened("nobody/no-such-model"):
        pass
    assert caught.value.remedy


def test_modules_of_a_sentence_transformer_are_shown(tmp_path: Path) -> None:
    source = save_sentence_transformer(tmp_path / "model")
    (source / "1_Pooling" / "pytorch_model.bin").write_text("")
    with opened(source) as folder:
        assert [path.name for path in (folder / "1_Pooling").iterdir()] == ["config.json"]


def test_shapes_are_read_from_the_header(copy: Path) -> None:
    from safetensors.numpy import load_file

    path = copy / "model.safetensors"
    loaded = load_file(path)
    assert tensors(path) == {key: ("F32", value.shape) for key, value in loaded.items()}


def test_a_converted_model_stands_by_itself(tmp_path: Path) -> None:
    source = save_older_gte(tmp_path / "older")
    (source / "README.md").write_text("The card.")
    (source / "own.py").write_text("")
    (source / "calibration.json").write_text('{"slope": 2, "intercept": 0}')
    out = convert(source, tmp_path / "native")
    assert {path.name for path in out.iterdir()} == {
        "README.md", "calibration.json", "config.json", "model.safetensors", "tokenizer.json",
        "tokenizer_config.json",
    }  # fmt: skip
    assert not any(path.is_symlink() for path in out.iterdir())
    assert read(out / "config.json")["model_type"] == "gte"
    before, after = source / "model.safetensors", out / "model.safetensors"
    assert before.read_bytes() == after.read_bytes()


def test_nothing_is_left_of_a_conversion_that_failed(copy: Path, tmp_path: Path) -> None:
    edit(copy / "config.json", num_hidden_layers=3)
    with pytest.raises(ModelError, match="lacks"):
        convert(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_conversion_writes_over_nothing(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(ModelError, match="exists"):
        convert(copy, tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
