"""What a resolver version records of settings and models, and whether this process matches it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from resolver.database import releases, resolver_versions
from resolver.errors import ModelError
from resolver.index.build import require_fresh
from resolver.matching import decision, evidence
from resolver.matching.judge_file import fingerprint
from resolver.settings import BUILTIN, Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from resolver.database.resolver_versions import ResolverVersion
    from resolver.index import Manifest
    from resolver.service.parts import Models

MODELS = ("encoder", "reranker", "reranker_calibration", "judge")
"""Settings that name a model."""

DEPTHS = ("recall_depth", "rerank_depth", "rerank_from")
"""Other settings that every answer depends on. The choices of a policy are not among them: each
answer records its policy."""

FORMS = {"evidence_form": evidence.FORM, "decision_form": decision.FORM}
"""How this program answers, beside models and settings: numbers that change with the code."""


def configuration(settings: Settings) -> dict[str, Any]:
    """What a resolver version records of the settings, as JSON values: enough to open it anywhere.

    A path that exists here is made absolute: another process may work in another folder.
    """
    recorded = settings.model_dump(mode="json", include={*MODELS, *DEPTHS})
    for name in MODELS:
        value = recorded[name]
        if value not in (None, BUILTIN) and Path(value).exists():
            recorded[name] = str(Path(value).absolute())
    return recorded


def configured(settings: Settings, version: ResolverVersion) -> Settings:
    """The settings with the models and depths of `version` in place.

    The key of a reranker's server is sent to no other server than the one that it is set for.
    """
    recorded: dict[str, Any] = dict(version.configuration)
    if recorded.get("reranker_calibration"):
        recorded["reranker_calibration"] = Path(recorded["reranker_calibration"])
    if "://" in settings.reranker and recorded.get("reranker") != settings.reranker:
        recorded["reranker_api_key"] = None
    return settings.model_copy(update=recorded)


def register(
    engine: Engine, settings: Settings, manifest: Manifest, models: Models
) -> ResolverVersion:
    """The resolver version of these settings and this index version; not put in use.

    Raises:
        RegistryError: the release of the index is not in the database.
        IndexMismatch: the index was built by another encoder or has another document form.
    """
    require_fresh(manifest, encoder=models.encoder, release=None)
    release = releases.find_release(engine, manifest.release, manifest.release_sha256)
    return resolver_versions.register(
        engine,
        release_id=release.id,
        encoder=(models.encoder.name, models.encoder.fingerprint),
        reranker=(models.reranker.name, models.reranker.fingerprint),
        settings=fingerprints(settings, models) | {"statistics": manifest.statistics},
        index_version=manifest.version,
        configuration=configuration(settings),
    )


def fingerprints(settings: Settings, models: Models) -> dict[str, object]:
    """What every answer depends on beside release, index, encoder and reranker: the depths, the
    forms, and the fingerprints of judge, sieve and forecaster."""
    return {
        **settings.model_dump(include=set(DEPTHS)),
        **FORMS,
        "judge": fingerprint(models.judge),
        "sieve": models.sieve and fingerprint(models.sieve),
        "forecaster": models.forecaster and fingerprint(models.forecaster),
    }


def has_these_forms(version: ResolverVersion) -> bool:
    """Whether this program reads evidence and decides as the one did that made the version."""
    return all(version.settings.get(name) == form for name, form in FORMS.items())


def require_forms(version: ResolverVersion) -> None:
    """Refuse to answer in the name of a version that was made by another program.

    Raises:
        ModelError: a form differs; names it.
    """
    if has_these_forms(version):
        return
    differing = ", ".join(
        f"{name.replace('_', ' ')} {version.settings.get(name, 'not named')}, here {form}"
        for name, form in FORMS.items()
        if version.settings.get(name) != form
    )
    raise ModelError(
        f"resolver version {version.id} was made by a program that answers otherwise ({differing})",
        remedy="to answer as this one does, run: resolver version use (every answer is due then); "
        "else install the one that it was made by",
    )


def require_models(version: ResolverVersion, settings: Settings, models: Models) -> None:
    """Refuse models that have the names of the version's and other weights.

    Raises:
        ModelError: names the model and both fingerprints.
    """
    here = fingerprints(settings, models)
    for model, recorded, loaded in (
        ("encoder", version.encoder[1], models.encoder.fingerprint),
        ("reranker", version.reranker[1], models.reranker.fingerprint),
        *(
            (name, version.settings.get(name), here[name])
            for name in ("judge", "sieve", "forecaster")
        ),
    ):
        if recorded != loaded:
            raise ModelError(
                f"resolver version {version.id} has another {model} than there is here "
                f"(fingerprints {recorded} and {loaded})",
                remedy="install what it was made with, or switch to what is here: "
                "resolver version use",
            )
