"""The mean of rerankers that were trained from one base.

Each may have seen other strings: the mean has learnt from all of them, keeps more of what the base
knew than any of them, and costs no more than one (M. Wortsman et al., "Model soups", 2022).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from resolver.errors import ModelError
from resolver.training import dequantisation
from resolver.weights.files import CONFIG

WEIGHTS = "model.safetensors"


def write_mean(models: Sequence[str], out: Path) -> Path:
    """Write a checkpoint whose weights are the means of those of the `models`, and all else that
    of the first; returns `out`.

    Models are folders of checkpoints or of ONNX forms, or ``builtin``.

    Raises:
        ModelError: there are fewer than two, one cannot be read, or their weights differ in name or
            shape.
    """
    from safetensors.torch import load_file, save_file

    if len(models) < 2:
        raise ModelError("a mean needs two rerankers or more", remedy="give --of for each")
    if (out / WEIGHTS).exists():
        raise ModelError(f"{out} holds a model", remedy="choose another folder")
    with ExitStack() as stack:
        folders = [stack.enter_context(dequantisation.opened(model)) for model in models]
        total = {name: value.float() for name, value in load_file(folders[0] / WEIGHTS).items()}
        for model, folder in zip(models[1:], folders[1:], strict=True):
            weights = load_file(folder / WEIGHTS)
            unlike = sorted(
                name
                for name in {*total, *weights}
                if name not in total
                or name not in weights
                or total[name].shape != weights[name].shape
            )
            if unlike:
                raise ModelError(
                    f"{model} has another {unlike[0]} than {models[0]}",
                    remedy="take rerankers that were trained from one base",
                )
            for name, value in weights.items():
                total[name] += value.float()
        out.mkdir(parents=True, exist_ok=True)
        for file in folders[0].iterdir():
            if file.name == CONFIG or file.name.startswith(("tokenizer", "special_tokens")):
                shutil.copy(file, out)
        mean = {name: value / len(models) for name, value in total.items()}
        save_file(mean, out / WEIGHTS, {"format": "pt"})
    return out
