"""Reading and writing the calibration file beside a reranker's weights."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import orjson

from resolver.errors import ModelError
from resolver.reranker import Calibration

log = logging.getLogger(__name__)

CALIBRATION = "calibration.json"


def read_calibration(path: Path, *, name: str) -> Calibration:
    """The calibration in a file; the plain sigmoid, with a warning, if there is no file.

    Raises:
        ModelError: the file is there but no calibration.
    """
    if not path.is_file():
        log.warning(
            "reranker %s has no %s: its probabilities are the plain sigmoid of its logits",
            name,
            CALIBRATION,
        )
        return Calibration()
    try:
        values = orjson.loads(path.read_bytes())
        calibration = Calibration(float(values["slope"]), float(values["intercept"]))
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path} is no calibration: {error!r}",
            remedy='expected {"slope": …, "intercept": …}; delete it to use the plain sigmoid',
        ) from error
    if not (calibration.slope > 0 and math.isfinite(calibration.slope + calibration.intercept)):
        raise ModelError(
            f"{path}: slope {calibration.slope}, intercept {calibration.intercept}",
            remedy="the slope must be positive, or better matches would get lower probabilities",
        )
    return calibration


def write_calibration(calibration: Calibration, path: Path) -> None:
    path.write_bytes(
        orjson.dumps(
            {"slope": calibration.slope, "intercept": calibration.intercept},
            option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
        )
    )
