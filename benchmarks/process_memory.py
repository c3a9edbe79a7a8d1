"""What a process holds in memory, as the kernel counts it (proc(5), smaps_rollup)."""

from __future__ import annotations

from pathlib import Path

_LINES = {"Rss:": "resident", "Pss:": "proportional", "Anonymous:": "own"}


def held(process: int) -> dict[str, float]:
    """Megabytes: `resident` in all, `proportional` with each page divided by the processes that
    share it, and `own` without the files that are mapped, which the kernel takes back when it
    likes."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    found = {
        _LINES[line.split()[0]]: int(line.split()[1]) / 1024
        for line in lines
        if line.split()[0] in _LINES
    }
    if len(found) < len(_LINES):
        raise SystemExit("the kernel does not tell (smaps_rollup); this needs Linux")
    return found
