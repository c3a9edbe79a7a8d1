"""What each setting means: the encoder, the reranker, the judge and the policy that it names.

To add a kind of encoder or reranker, add it to `load` and `runs_in_torch` of
`resolver.encoder.loading` or `resolver.reranker.loading`; nothing here changes.
"""

from __future__ import annotations

from dataclasses import dataclass

from resolver.encoder import Encoder
from resolver.encoder import loading as encoders
from resolver.errors import SettingsError
from resolver.index import Index
from resolver.matching.forecaster import Forecaster
from resolver.matching.judge import Judge
from resolver.matching.judge_file import load_forecaster, load_judge, load_operating, load_sieve
from resolver.matching.matcher import Matcher
from resolver.matching.policy import Operating, Policy, threshold
from resolver.matching.recall import Recall
from resolver.matching.sieve import Sieve
from resolver.reranker import Reranker
from resolver.reranker import loading as rerankers
from resolver.settings import Settings
from resolver.text import gazetteer


def load_encoder(settings: Settings) -> Encoder:
    """The encoder that the settings name.

    Raises:
        ModelError: it cannot be loaded.
    """
    return encoders.load(settings.encoder, settings.device)


def load_reranker(settings: Settings) -> Reranker:
    """The reranker that the settings name; whoever loads it closes it.

    Raises:
        ModelError: it cannot be loaded.
        RerankerUnavailable: its server does not answer.
        SettingsError: its address or its calibration cannot be used.
    """
    return rerankers.load(
        settings.reranker,
        settings.device,
        threads=settings.threads,
        api_key=settings.reranker_api_key,
        calibration=settings.reranker_calibration,
        timeout=settings.reranker_timeout,
        requests=settings.reranker_requests,
        ca_file=settings.ca_file,
        scorer=settings.scorer,
    )


def runs_in_torch(settings: Settings) -> bool:
    """Whether a model of these settings runs in torch in this process: then it may use a GPU."""
    if encoders.runs_in_torch(settings.encoder):
        return True
    return settings.scorer is None and rerankers.runs_in_torch(settings.reranker)


@dataclass(frozen=True, slots=True)
class Models:
    """All models of a matcher. `operating` has what was measured of thresholds: a target precision
    is looked up there.

    Whoever loads them closes them: a reranker on a server holds connections.
    """

    encoder: Encoder
    reranker: Reranker
    judge: Judge
    sieve: Sieve | None
    forecaster: Forecaster | None
    operating: Operating

    def close(self) -> None:
        self.reranker.close()


def load_models(
    settings: Settings, *, encoder: Encoder | None = None, reranker: Reranker | None = None
) -> Models:
    """The models that the settings name; `encoder` and `reranker` where they are loaded already.

    Raises:
        ModelError: one cannot be loaded.
        RerankerUnavailable: the reranker's server does not answer.
    """
    encoder = encoder or load_encoder(settings)
    reranker = reranker or load_reranker(settings)
    return Models(
        encoder,
        reranker,
        load_judge(settings.judge, encoder, reranker),
        load_sieve(settings.judge, encoder),
        load_forecaster(settings.judge, encoder, reranker),
        load_operating(settings.judge, encoder, reranker),
    )


def make_matcher(settings: Settings, index: Index, models: Models) -> Matcher:
    """The matcher of these models over this index, with the depths and the policy of the settings.

    Raises:
        SettingsError: the policy makes no sense.
    """
    gazetteer.load()
    return Matcher(
        recall=Recall(models.encoder, index),
        reranker=models.reranker,
        judge=models.judge,
        policy=make_policy(settings, models.operating),
        sieve=models.sieve,
        forecaster=models.forecaster,
        recall_depth=settings.recall_depth,
        rerank_depth=settings.rerank_depth,
        rerank_from=settings.rerank_from,
        slice_size=settings.slice_size,
    )


def make_policy(settings: Settings, operating: Operating = ()) -> Policy:
    """The policy of the settings; a target precision is looked up in `operating`.

    Raises:
        SettingsError: a choice makes no sense, or the target precision cannot be reached.
    """
    choices = settings.model_dump(
        include={"max_links", "level", "succession", "types", "countries"}
    )
    if settings.target_precision is None:
        choices["accept_probability"] = settings.accept_probability
    else:
        choices["target_precision"] = settings.target_precision
    return change_policy(Policy(), choices, operating)


def change_policy(policy: Policy, choices: object, operating: Operating) -> Policy:
    """`policy` with `choices` in place, as a message or the settings name them.

    Raises:
        SettingsError: as `make_policy`.
    """
    try:
        return Policy.from_object(
            choices, base=policy, threshold_for=lambda target: threshold(operating, target)
        )
    except ValueError as error:
        raise SettingsError(
            str(error), remedy="see docs/settings.md for the accepted values"
        ) from error
