"""The whole way on a tiny model: pairs, training, export, calibration, loading."""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
import pytest
from support.ror_ids import valid_ids
from support.tiny_models import save_bert

from resolver.encoder.loading import load as load_encoder
from resolver.errors import GoldError, ModelError
from resolver.matching.candidate import Candidate
from resolver.registry.document import documents
from resolver.registry.organisation import Name, NameKind, Organisation, OrganisationStatus, Place
from resolver.reranker import Calibration
from resolver.reranker.loading import load
from resolver.text.affiliation import Affiliation
from resolver.text.words import words
from resolver.training import run
from resolver.training.card import About
from resolver.training.encoder import EncoderTraining
from resolver.training.pairs import LabelledPair, held_out
from resolver.training.recipe import finish_reranker, make_encoder, make_mean, prepare_reranker
from resolver.training.report import Data, TrainingReport
from resolver.training.reranker import LengthBatches, RerankerTraining, fit_reranker, kept_layers

CITIES = ("Oslo", "Bergen", "Wien", "Graz", "Tokyo", "Москва")
KINDS = ("University of {}", "{} University Hospital", "{} Institute of Technology")
# No two organisations share a name: which of equals comes first is a matter of rounding.
CAMPUSES = ("North", "Harbour", "Castle")


def registry() -> list[Organisation]:
    ids = iter(valid_ids(len(CITIES) * len(KINDS) * len(CAMPUSES)))
    return [
        Organisation(
            next(ids),
            OrganisationStatus.ACTIVE,
            (
                Name(f"{name.format(city)} {campus}", frozenset({NameKind.DISPLAY})),
                Name(f"{city[0]}{kind}{i}", frozenset({NameKind.ACRONYM})),
            ),
            places=(Place("NO", "Norway", city),),
        )
        for city in CITIES
        for kind, name in enumerate(KINDS)
        for i, campus in enumerate(CAMPUSES)
    ]


class WordOverlap:
    """A first stage without an index: organisations by shared words, then by id."""

    def candidates(self, texts: Sequence[Affiliation], *, depth: int) -> list[list[Candidate]]:
        found = [next(iter(documents(organisation))) for organisation in registry()]
        return [
            [
                Candidate(document, None, None, 0.0)
                for document in sorted(
                    found,
                    key=lambda d: (-len(set(words(d.name)) & set(text.words)), d.ror_id),
                )[:depth]
            ]
            for text in texts
        ]


@pytest.fixture(scope="module")
def gold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gold") / "gold.jsonl"
    rows = [
        {"affiliation": f"Department {n}, {o.display_name}, Norway", "ror_ids": [o.ror_id]}
        for o in registry()
        for n in range(3)
    ]
    path.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    assert any(held_out(o.ror_id) for o in registry())
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("base"), labels=None, layers=4)


def options(base: Path, out: Path) -> RerankerTraining:
    return RerankerTraining(
        base=str(base),
        out=out,
        layers=2,
        epochs=12,
        batch_size=16,
        learning_rate=3e-3,
        max_length=64,
        device="cpu",
        progress=False,
    )


@dataclass(frozen=True)
class Trained:
    """A reranker in its folder, the pairs that it was trained on, and its report."""

    out: Path
    pairs: tuple[LabelledPair, ...]
    report: TrainingReport


@pytest.fixture(scope="module")
def trained(base: Path, gold: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    out = tmp_path_factory.mktemp("reranker")
    data = Data(gold=(gold,), negatives=3, synthetic_strings=40, synthetic_pairs=60)
    prepare_reranker(data, options(base, out), registry(), WordOverlap())
    pairs = run.load(out).pairs
    report = finish_reranker(data, options(base, out), About())
    assert report is not None
    return Trained(out, pairs, report)


@pytest.mark.slow
def test_what_was_learnt_is_reported(trained: Trained) -> None:
    report = trained.report
    assert report.positives > 100
    assert report.exported is not None
    assert report.held_out_strings == report.checkpoint.strings == report.exported.strings >= 3
    assert orjson.loads((trained.out / "report.json").read_bytes())["pairs"] == report.pairs


@pytest.mark.slow
def test_the_model_tells_the_right_pairs_of_its_training_from_the_wrong_ones(
    trained: Trained,
) -> None:
    # Share of (right, wrong) in which the right pair scores higher: 0.5 by chance. Random
    # weights with two layers learn their own pairs on every machine (0.95 and more); what they
    # would make of other pairs depends on rounding.
    scores = load(str(trained.out), "cpu").score(
        [(pair.affiliation, pair.document) for pair in trained.pairs]
    )
    right = np.array([pair.label == 1 for pair in trained.pairs])
    assert (scores[right][:, None] > scores[~right]).mean() > 0.8


@pytest.mark.slow
def test_both_forms_load_and_agree(trained: Trained) -> None:
    out, report = trained.out, trained.report
    pairs = [
        (f"Department 1, {one.display_name}, Norway", f"{other.display_name}, Norway")
        for one in registry()[::5]
        for other in registry()[::7]
    ]
    checkpoint, exported = load(str(out), "cpu"), load(str(out / "onnx"), None)
    # Six strings may teach none: then it is the plain sigmoid.
    assert exported.calibration == (report.calibration or Calibration())
    ours, theirs = exported.score(pairs), checkpoint.score(pairs)
    # 8 bits are coarse for a model this small, whose logits hardly spread, and its weights
    # differ from machine to machine; a wrong export correlates with nothing. What
    # quantisation costs the real model is in its card.
    assert np.abs(ours - theirs).mean() < 0.3 * theirs.std()
    assert np.corrcoef(ours, theirs)[0, 1] > 0.9
    assert exported.fingerprint != checkpoint.fingerprint


@pytest.mark.slowest
def test_the_same_seed_gives_the_same_weights(base: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    pairs = [
        LabelledPair(f"University {i}", f"University {i + i % 2}", 1 - i % 2) for i in range(64)
    ]
    first, again = (
        load_file(fit_reranker(options(base, tmp_path / name), pairs).out / "model.safetensors")
        for name in ("first", "again")
    )
    assert all(np.array_equal(first[key], again[key]) for key in first)
    frozen = "bert.embeddings.word_embeddings.weight"
    assert np.array_equal(first[frozen], load_file(base / "model.safetensors")[frozen[5:]])


@pytest.mark.slow
def test_a_mean_is_measured_and_loads_in_both_forms(
    base: Path, trained: Trained, gold: Path, tmp_path: Path
) -> None:
    other = fit_reranker(options(base, tmp_path / "other"), trained.pairs[::2]).out
    out = tmp_path / "mean"
    models = [str(trained.out), str(other)]
    report = make_mean(models, out, Data(gold=(gold,)), registry(), WordOverlap(), seed=1)
    assert report.held_out_strings == trained.report.held_out_strings
    assert report.first_stage == trained.report.first_stage
    assert report.exported is not None
    pairs = [(pair.affiliation, pair.document) for pair in trained.pairs[:40]]
    ours, theirs = load(str(out / "onnx"), None).score(pairs), load(str(out), "cpu").score(pairs)
    assert np.corrcoef(ours, theirs)[0, 1] > 0.9


@pytest.mark.slow
def test_a_finished_model_is_left_alone(trained: Trained, base: Path, gold: Path) -> None:
    out = trained.out
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    data = Data(gold=(gold,), negatives=3, synthetic_strings=40, synthetic_pairs=60)
    with pytest.raises(ModelError, match="finished model") as caught:
        prepare_reranker(data, options(base, out), registry(), WordOverlap())
    assert "--overwrite" in str(caught.value)
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before


@pytest.mark.slow
def test_without_held_out_strings_it_trains_and_says_so(
    base: Path, gold: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from resolver.training.pairs import read_labelled

    known = [item for item in read_labelled(gold) if not any(map(held_out, item.ror_ids))]
    path = tmp_path / "known.jsonl"
    rows = [{"affiliation": i.affiliation, "ror_ids": list(i.ror_ids)} for i in known]
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    training = dataclasses.replace(
        options(base, tmp_path / "out"),
        epochs=1, evaluation_steps=5, checkpoint_steps=5, keep_best=True,
    )  # fmt: skip
    data = Data(gold=(path,), synthetic_strings=0, affiliation_positives=1, most_pairs=100)
    prepare_reranker(data, training, registry(), WordOverlap())
    report = finish_reranker(data, training, About(), export=False)
    assert report is not None
    assert (report.before, report.after, report.calibration) == (None, None, None)
    assert report.pairs <= 100
    assert "nothing evaluates the training" in caplog.text
    assert "is not calibrated" in caplog.text
    assert (training.out / "README.md").is_file()


def test_all_organisations_of_a_made_string_are_right(gold: Path, tmp_path: Path) -> None:
    training = RerankerTraining(base="none", out=tmp_path / "out", device="cpu")
    data = Data(gold=(gold,), synthetic_strings=0, joint_strings=30)
    prepare_reranker(data, training, registry(), WordOverlap())
    mined = run.load(training.out)
    made = mined.pairs[mined.counts["pairs from gold strings"] :]
    assert len(made) == mined.counts["pairs from made-up strings"]
    shown = {
        text: o.ror_id
        for o in registry()
        for document in documents(o)
        for text in (document.text, dataclasses.replace(document, city=None).text)
    }
    named = defaultdict(set)
    for pair in made:
        if pair.label:
            named[pair.affiliation].add(shown[pair.document])
    assert len(named) > 20
    assert max(map(len, named.values())) > 1


def test_gold_that_is_not_there_is_said(tmp_path: Path) -> None:
    training = RerankerTraining(base="none", out=tmp_path / "out", device="cpu")
    data = Data(gold=(tmp_path / "gold.jsonl",))
    with pytest.raises(GoldError, match="No such file") as caught:
        prepare_reranker(data, training, registry(), WordOverlap())
    assert caught.value.remedy


@pytest.mark.slow
def test_a_static_encoder_is_made_and_loads(base: Path, gold: Path, tmp_path: Path) -> None:
    out = make_encoder(
        Data(gold=(gold,), synthetic_strings=40),
        EncoderTraining(
            base=str(base),
            out=tmp_path,
            dimension=8,
            epochs=3,
            batch_size=32,
            device="cpu",
            progress=False,
        ),
        registry(),
    )
    encoder = load_encoder(str(out), None)
    assert encoder.dimension == 8
    near, far = encoder.encode_documents(["University of Oslo", "Graz Institute of Technology"])
    (query,) = encoder.encode_queries(["University of Oslo"])
    assert query @ near > query @ far


def test_nothing_to_learn_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="0 training pairs"):
        fit_reranker(RerankerTraining(base="none", out=tmp_path), [])


@pytest.mark.slow
def test_a_base_that_cannot_be_loaded_is_said(tmp_path: Path) -> None:
    pairs = [LabelledPair("a", "b", 1), LabelledPair("a", "c", 0)]
    with pytest.raises(ModelError) as caught:
        fit_reranker(RerankerTraining(base=str(tmp_path / "no"), out=tmp_path), pairs)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("depth", "layers", "expected"),
    [(12, 6, [1, 3, 5, 7, 9, 11]), (12, 12, list(range(12))), (4, 3, [0, 1, 3]), (3, 1, [2])],
)
def test_kept_layers(depth: int, layers: int, expected: list[int]) -> None:
    assert kept_layers(depth, layers) == expected


@pytest.mark.parametrize("layers", [0, 13])
def test_layers_that_are_not_there(layers: int) -> None:
    with pytest.raises(ModelError):
        kept_layers(12, layers)


def test_batches_hold_every_row_once_and_differ_by_epoch() -> None:
    lengths = [i % 50 for i in range(1000)]
    batches = LengthBatches(lengths, 16, seed=1)
    first = list(batches)
    assert sorted(i for batch in first for i in batch) == list(range(1000))
    assert len(first) == len(batches)
    assert list(batches) == first
    batches.set_epoch(1)
    assert list(batches) != first
    spread = np.mean([max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in first])
    assert spread < 10
