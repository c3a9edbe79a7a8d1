"""``resolver backfill``: very many affiliations, from files to files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from resolver import hardware
from resolver.backfill import plan as plans
from resolver.backfill.folder import Folder
from resolver.backfill.state import RunState
from resolver.backfill.state import state as run_state
from resolver.cli.policy_options import Choices, policy_options
from resolver.cli.tables import Table
from resolver.cli.terminal import console, progress, say, write_json
from resolver.settings import load_settings

app = typer.Typer(
    help="Resolve very many affiliations: Parquet in, Parquet out, on one machine or a cluster.",
    no_args_is_help=True,
)

PLACE = "a folder, s3://… or gs://…"

Run = Annotated[str, typer.Argument(help=f"The run: {PLACE}.")]
Scratch = Annotated[
    Path | None,
    typer.Option(help="Folder for what memory has no room for; by default among temporary files."),
]
Memory = Annotated[
    str | None,
    typer.Option(help="Most memory of DuckDB, as 8GB; by default most of the machine's."),
]
PinPlace = Annotated[
    str | None,
    typer.Option(help="Where the pin is now; by default where the run was planned with it."),
]


@app.command()
@policy_options
def pin(
    folder: Annotated[str, typer.Argument(help=f"Where to write it: {PLACE}.")],
    *,
    choices: Choices,
) -> None:
    """Write what answers into a folder: models, index, overrides and policy.

    It is the resolver version in use. Every node reads it, and refuses to answer with anything
    else. To do so again changes nothing, as long as nothing else has changed.
    """
    from resolver.backfill import pinning
    from resolver.service.installation import Installation

    with Installation(choices.over(load_settings())) as installation:
        made = pinning.make(installation, Folder(folder), progress=progress)
    size = sum(file.size for file in made.files) / 1e6
    say(f"pinned {made.describe()}, {size:,.0f} MB in {len(made.files):,} files")


@app.command()
def plan(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Parquet files with a row for each affiliation: files, folders, or patterns, on "
            "disk, s3://… or gs://…"
        ),
    ],
    run: Annotated[str, typer.Argument(help=f"The run to plan: {PLACE}, with nothing in it.")],
    pin: Annotated[str, typer.Option(help="The pin to answer by.")],
    affiliation_column: Annotated[
        str, typer.Option(help="Column of the affiliations.")
    ] = "affiliation",
    previous: Annotated[
        str | None,
        typer.Option(
            help="An earlier run, whose answers are taken over where they would be the same."
        ),
    ] = None,
    parts: Annotated[
        int | None,
        typer.Option(help="Number of parts; by default one for 20,000 texts.", min=1),
    ] = None,
    scratch: Scratch = None,
    memory: Memory = None,
) -> None:
    """Make the affiliations distinct, and divide them into parts.

    An affiliation that occurs a thousand times is answered once.
    """
    made = plans.make(
        inputs,
        Folder(run),
        Folder(pin),
        column=affiliation_column,
        previous=Folder(previous) if previous else None,
        parts=parts,
        scratch=scratch,
        memory=memory,
        progress=progress,
    )
    table = Table(show_header=False, box=None)
    table.add_row("mentions", f"{made.mentions:,}")
    table.add_row("distinct texts", f"{made.texts:,}")
    table.add_row("taken over", f"{made.taken:,}")
    table.add_row("due", f"{made.due:,} in {len(made.parts):,} parts")
    console.print(table)


@app.command()
def run(
    run: Run,
    pin: PinPlace = None,
    address: Annotated[
        str | None,
        typer.Option(help="A Ray cluster: auto, or ray://…; by default this machine alone."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that resolve; by default one for each core here.", min=1),
    ] = None,
    cpus: Annotated[
        float, typer.Option(help="Cores of each; also the threads of its reranker.", min=0.1)
    ] = 1.0,
    gpus: Annotated[
        float, typer.Option(help="GPUs of each; 0.25 lets four share one.", min=0.0)
    ] = 0.0,
    scratch: Annotated[
        Path | None,
        typer.Option(
            help="Folder of each machine for its copy of the pin; by default among its temporary "
            "files."
        ),
    ] = None,
) -> None:
    """Answer all parts that are not done. Killed anywhere, it goes on when it is run again.

    Exit code 1 names the parts that are missing. A text that kills its process is answered as
    failed, and the others of its part are answered.
    """
    from resolver.backfill.ray_workers import Workers
    from resolver.backfill.run import answer_missing

    count = workers or max(1, int(hardware.cores() / cpus))
    folder = Folder(run)
    parts = len(plans.read(folder).parts)
    with progress(f"texts in {parts:,} parts") as report:
        try:
            state = answer_missing(
                folder,
                Workers(count, cpus, gpus, address or os.environ.get("RAY_ADDRESS")),
                scratch=scratch or _machine_scratch(),
                pin_folder=Folder(pin) if pin else None,
                progress=report,
            )
        except KeyboardInterrupt:
            say("stopped; run the same command again to go on from here")
            raise typer.Exit(130) from None
    _print(state)


@app.command()
def status(
    run: Run,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead.")] = False,
) -> None:
    """Show how far a run is, by its files: parts, texts a second, hours left. Needs no Ray."""
    state = run_state(Folder(run))
    if as_json:
        write_json(
            {
                "parts": len(state.plan.parts),
                "parts_done": len(state.done),
                "missing": state.missing,
                "damaged": dict(state.damaged),
                "texts": state.plan.texts,
                "taken": state.plan.taken,
                "done": state.texts,
                "failed": state.failed,
                "left": state.left,
                "texts_a_second": state.texts_a_second,
                "hours_left": state.hours_left,
                "pin": state.plan.pin,
            }
        )
        return
    _print(state)


@app.command()
def join(
    run: Run,
    out: Annotated[str, typer.Argument(help=f"Where to write the rows: {PLACE} of its own.")],
    scratch: Scratch = None,
    memory: Memory = None,
) -> None:
    """Write the input's rows with their organisations, as Parquet.

    All columns stay, and ror_status, ror_reason, ror_ids, ror_names and ror_probabilities come
    beside them. The rows are in no order.
    """
    from resolver.backfill.join import join as join_run

    done = join_run(Folder(run), Folder(out), scratch=scratch, memory=memory, progress=progress)
    say(
        f"{done.rows:,} rows in {done.files:,} files: {done.linked:,} linked, "
        f"{done.failed:,} failed"
    )


@app.command()
def load(
    run: Run,
    pin: PinPlace = None,
    id_column: Annotated[
        str | None,
        typer.Option(help="Column of ids: the rows are stored too, as records under them."),
    ] = None,
    position_column: Annotated[
        str | None, typer.Option(help="Column of positions; without it, position 0.")
    ] = None,
    source: Annotated[str, typer.Option(help="Source of the records.")] = "backfill",
) -> None:
    """Store the answers in the database, with the history of those that they replace.

    The version that was pinned must be in use. To load twice changes nothing. Failed texts are left
    out. Without ids there are answers alone: records that are sent later find them.
    """
    from resolver.backfill.load import Records
    from resolver.backfill.load import load as load_run
    from resolver.service.installation import Installation

    with Installation(load_settings()) as installation, progress("answers and records") as report:
        done = load_run(
            installation.engine,
            Folder(run),
            Folder(pin) if pin else None,
            records=Records(source, id_column, position_column) if id_column else None,
            progress=report,
        )
    say(
        f"{done.stored:,} answers stored with {done.links:,} links, {done.unchanged:,} were there; "
        f"{done.failed:,} texts failed"
    )
    if id_column:
        say(f"{done.records:,} records")
    if done.refused:
        say(f"{done.refused:,} rows refused; the others were stored")
        raise typer.Exit(2)


def _print(state: RunState) -> None:
    plan = state.plan
    table = Table(show_header=False, box=None)
    table.add_row("planned", f"{plan.planned_at:%Y-%m-%d %H:%M} UTC, pin {plan.pin[:12]}")
    table.add_row("parts", f"{len(state.done):,} of {len(plan.parts):,} done")
    table.add_row("texts", f"{state.texts:,} of {plan.due:,} done, {plan.taken:,} taken over")
    table.add_row("failed", f"{state.failed:,}")
    if pace := state.texts_a_second:
        table.add_row("pace", f"{pace:,.1f} texts a second")
    if state.missing:
        left = f"{state.left:,} texts"
        if hours := state.hours_left:
            left += f", {hours:,.1f} hours at this pace"
        table.add_row("left", left)
    for name, problem in state.damaged.items():
        table.add_row(f"damaged {name}", problem)
    console.print(table)


def _machine_scratch() -> Path:
    """Each user's own: who may write there may say what is answered."""
    return Path(tempfile.gettempdir()) / f"resolver-backfill-{os.getuid()}"
