"""``resolver models``: what is in use, whether a model is what it claims, the native form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from resolver.cli.tables import Table
from resolver.cli.terminal import console, say
from resolver.disk import writing
from resolver.settings import BUILTIN, load_settings

app = typer.Typer(help="Show the models in use; check, convert rerankers.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """Show the models that the settings name, with the fingerprints of their weights."""
    from resolver import weights
    from resolver.matching import judge_file
    from resolver.service import parts

    settings = load_settings()
    encoder = parts.load_encoder(settings)
    reranker = parts.load_reranker(settings)
    judge = judge_file.load_judge(settings.judge, encoder, reranker)
    table = Table("part", "setting", "model", "fingerprint", "size")
    rows = (
        ("encoder", settings.encoder, encoder.fingerprint, weights.BUILTIN_FOLDER / "encoder"),
        ("reranker", settings.reranker, reranker.fingerprint, weights.BUILTIN_FOLDER / "reranker"),
        ("judge", settings.judge, judge_file.fingerprint(judge), judge_file.BUILTIN_JUDGE),
    )
    for part, name, fingerprint, builtin in rows:
        path = builtin if name == BUILTIN else Path(name)
        table.add_row(part, f"RESOLVER_{part.upper()}", name, fingerprint[:16], _size(path))
    console.print(table)


def _size(path: Path) -> str:
    if not path.exists():
        return ""
    files = path.rglob("*") if path.is_dir() else [path]
    size = sum(file.stat().st_size for file in files if file.is_file())
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"


@app.command()
def check(
    name: Annotated[
        str,
        typer.Argument(
            help="builtin, a cross-encoder's Hugging Face id or path, or a server's URL."
        ),
    ],
    golden: Annotated[
        str | None,
        typer.Option(
            help="File of golden logits, or the hub id of a model whose logits are known "
            "[golden.json beside the weights]."
        ),
    ] = None,
    write_golden: Annotated[
        bool,
        typer.Option(
            "--write-golden", help="Record this load's logits, for a check on another machine."
        ),
    ] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda … [the best there is]")] = None,
) -> None:
    """Load a reranker and check that it is complete and scores correctly; exit code 1 if not.

    With --write-golden the logits of this load go to golden.json beside the weights, or to the
    file of --golden.
    """
    from resolver.reranker import checking
    from resolver.service import parts

    settings = load_settings()
    update: dict[str, object] = {"reranker": name, "device": device or settings.device}
    if name != settings.reranker:
        # They are of the reranker that the settings name.
        update |= {"reranker_calibration": None, "scorer": None}
    reranker = parts.load_reranker(settings.model_copy(update=update))
    checks = checking.check(reranker, name, golden=None if write_golden else golden)
    table = Table("check", "", "found")
    marks = {True: Text("ok", "green"), False: Text("FAILED", "bold red"), None: Text("–")}
    for check_ in checks:
        table.add_row(check_.name, marks[check_.passed], check_.detail)
    console.print(table)
    if any(check_.passed is False for check_ in checks):
        raise typer.Exit(1)
    if write_golden:
        say(f"wrote {checking.write_golden(reranker, name, Path(golden) if golden else None)}")


@app.command()
def convert(
    name: Annotated[str, typer.Argument(help="A model's Hugging Face id or path.")],
    out: Annotated[Path, typer.Argument(help="Folder to write to; new or empty.")],
) -> None:
    """Convert a model to the form that transformers and sentence-transformers read by themselves.

    For checkpoints of the older remote-code kind. `CrossEncoder("OUT")` and servers built on
    transformers then load it without this project. Weights are copied unchanged.
    """
    from resolver.weights import checkpoints

    with writing(out):
        say(f"wrote {checkpoints.convert(name, out)}")
