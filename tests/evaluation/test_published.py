"""The published figures are of the definitions that ours have."""

from __future__ import annotations

import pytest

from resolver.evaluation.metrics import f_beta
from resolver.evaluation.published import PUBLISHED, Peer

PEERS = [
    pytest.param(peer, id=f"{name}, {peer.system}")
    for name, published in PUBLISHED.items()
    for peer in published.peers
]


@pytest.mark.parametrize("peer", PEERS)
def test_f_measures_follow_from_precision_and_recall(peer: Peer) -> None:
    for beta, published in ((1.0, peer.f1), (0.5, peer.f05)):
        if published is not None:
            # Each of the three is rounded to a tenth of a percent.
            assert f_beta(peer.precision, peer.recall, beta) == pytest.approx(published, abs=0.0015)
