"""The scorer of a worker; `test_worker.py` runs it."""

from __future__ import annotations

import pytest

from resolver.errors import ModelError, SettingsError
from resolver.service.installation import Installation
from resolver.service.service import open_service
from resolver.settings import Settings
from resolver.workers import scorer as scorers
from resolver.workers.app import run_worker

pytestmark = pytest.mark.slow


def test_it_has_the_reranker_of_the_version_in_use(installation: Settings) -> None:
    others = installation.model_copy(update={"reranker": "some/model"})
    assert scorers._reranker(others) == "some/model"
    with Installation(installation) as opened, open_service(opened):
        pass
    assert scorers._reranker(others) == "builtin"


def test_one_that_cannot_start_stops_the_worker(
    installation: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = installation.model_copy(update={"reranker": "/no/model"})
    with pytest.raises(ModelError, match="did not start: it ended with exit code 78"):
        scorers.scorer(nowhere).__enter__()
    assert run_worker(nowhere, with_scorer=True) == 78
    assert "the scorer did not start" in caplog.text


def test_a_worker_has_one_scorer(installation: Settings) -> None:
    named = installation.model_copy(update={"scorer": installation.home / "s"})
    with pytest.raises(SettingsError, match="RESOLVER_SCORER names another one"):
        run_worker(named, with_scorer=True)
