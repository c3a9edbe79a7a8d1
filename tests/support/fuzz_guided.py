"""Drive a target by coverage: ``PYTHONPATH=tests python -m support.fuzz_guided TARGET FOLDER [libFuzzer options]``.

What CI feeds to the target is where it starts from; what it finds worth keeping goes to FOLDER, and
an input that does harm beside it: put that into ``tests/fuzz/cases/TARGET`` with the fix. Needs atheris
(``pip install '.[fuzz]'``); ``make fuzz`` runs every target in turn.
"""

from __future__ import annotations

import sys
from hashlib import sha1
from pathlib import Path

import atheris

# These modules are followed branch by branch.
with atheris.instrument_imports(include=["resolver"]):
    from support.fuzz_targets import TARGETS

from support.fuzz_inputs import drawn

STARTS = 200

name, folder = sys.argv.pop(1), Path(sys.argv.pop(1))
folder.mkdir(parents=True, exist_ok=True)
for data in drawn(name, STARTS):
    (folder / sha1(data).hexdigest()).write_bytes(data)
atheris.Setup([*sys.argv, f"-artifact_prefix={folder}-", str(folder)], TARGETS[name])
atheris.Fuzz()
