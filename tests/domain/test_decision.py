import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.domain.affiliation import MAX_CHARACTERS
from resolver.domain.candidate import Candidate
from resolver.domain.decision import Policy, Scored, decide, refusal
from resolver.domain.document import Document
from resolver.domain.outcome import Reason


def scored(name: str, probability: float, ror_id: str | None = None) -> Scored:
    document = Document(ror_id or name, name, name, False, None, None, None, None)
    return Scored(Candidate(document, None, None, 1.0), 10 * probability - 5, probability)


TWO = "University of Graz, NAWI Graz, Graz University of Technology, 8010 Graz"
ONE = "Department of Physics, University of York, York, UK"


@pytest.mark.parametrize(
    ("affiliation", "candidates", "expected"),
    [
        pytest.param(ONE, [], Reason.NO_CANDIDATE, id="nothing found"),
        pytest.param(ONE, [scored("University of York", 0.49)], Reason.BELOW_THRESHOLD, id="below"),
        pytest.param(ONE, [scored("University of York", 0.5)], ["University of York"], id="at"),
        pytest.param(
            ONE,
            [scored("York University", 0.7), scored("University of York", 0.9)],
            ["University of York"],
            id="a rival for the same words",
        ),
        pytest.param(
            TWO,
            [scored("Graz University of Technology", 0.8), scored("University of Graz", 0.9)],
            ["University of Graz", "Graz University of Technology"],
            id="two that each have their words",
        ),
        pytest.param(
            "University of Newcastle",
            [scored("University of Newcastle", 0.9, "au"), scored("University of Newcastle", 0.9, "uk")],
            Reason.AMBIGUOUS,
            id="the same name twice, nothing to tell them apart",
        ),
        pytest.param(
            "University of Newcastle",
            [scored("University of Newcastle", 0.9, "au"), scored("University of Newcastle", 0.8, "uk")],
            ["au"],
            id="the same name twice, one more probable",
        ),
        pytest.param(
            "東京大学", [scored("The University of Tokyo", 0.9)], ["The University of Tokyo"],
            id="a name in another script",
        ),
    ],
)  # fmt: skip
def test_decide(affiliation: str, candidates: list[Scored], expected: list[str] | Reason) -> None:
    outcome = decide(affiliation, candidates, Policy())
    if isinstance(expected, Reason):
        assert outcome.reason is expected
    else:
        assert [link.ror_id for link in outcome.links] == expected


def test_max_links() -> None:
    outcome = decide(
        TWO,
        [scored("University of Graz", 0.9), scored("Graz University of Technology", 0.8)],
        Policy(max_links=1),
    )
    assert [link.ror_id for link in outcome.links] == ["University of Graz"]


@given(
    st.text(max_size=40),
    st.lists(
        st.tuples(st.text(max_size=20), st.floats(0, 1)), max_size=8, unique_by=lambda x: x[0]
    ),
)
def test_links_are_probable_ordered_distinct_and_independent_of_input_order(
    text: str, names: list[tuple[str, float]]
) -> None:
    candidates = [scored(name, probability) for name, probability in names]
    outcome = decide(text, candidates, Policy())
    assert outcome == decide(text, candidates[::-1], Policy())
    probabilities = [link.probability for link in outcome.links]
    assert probabilities == sorted(probabilities, reverse=True)
    assert all(probability >= 0.5 for probability in probabilities)
    assert len({link.ror_id for link in outcome.links}) == len(outcome.links)
    assert [link.rank for link in outcome.links] == list(range(1, len(outcome.links) + 1))


@pytest.mark.parametrize(
    ("raw", "normalised", "expected"),
    [
        ("", "", Reason.EMPTY),
        ("\x00", "", Reason.EMPTY),
        ("x" * (MAX_CHARACTERS + 1), "x", Reason.TOO_LONG),
        ("x" * MAX_CHARACTERS, "x", None),
    ],
    ids=["empty", "nothing visible", "too long", "just short enough"],
)
def test_refusal(raw: str, normalised: str, expected: Reason | None) -> None:
    assert refusal(raw, normalised) is expected
