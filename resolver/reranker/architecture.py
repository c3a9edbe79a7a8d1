"""BERT, RoBERTa and GTE computed on packed tokens.

The weights are those of a model that transformers has loaded; only the computation is our own.
Layers normalise after the addition; GTE turns queries and keys by rotary embeddings
(J. Su et al., "RoFormer", 2021) and gates its product (N. Shazeer, "GLU Variants Improve
Transformer", 2020).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from resolver.reranker.attention import Attention, Batch


class Block(nn.Module):
    """One layer: attention, then a (gated) feed-forward part, each followed by addition and
    normalisation."""

    def __init__(
        self,
        *,
        heads: int,
        qkv: nn.Linear,
        out: nn.Linear,
        attention_norm: nn.LayerNorm,
        up: nn.Linear,
        gated: bool,
        activation: Callable[[Tensor], Tensor],
        down: nn.Linear,
        norm: nn.LayerNorm,
    ) -> None:
        super().__init__()
        self.heads, self.gated, self.activation = heads, gated, activation
        self.qkv, self.out, self.attention_norm = qkv, out, attention_norm
        self.up, self.down, self.norm = up, down, norm

    def forward(
        self,
        hidden: Tensor,
        rotary: tuple[Tensor, Tensor] | None,
        batch: Batch,
        attention: Attention,
    ) -> Tensor:
        """(tokens, hidden) → the same."""
        qkv = self.qkv(hidden).view(len(hidden), 3, self.heads, -1)
        if rotary is None:
            query, key = qkv[:, 0], qkv[:, 1]
        else:
            query, key = rotated(qkv[:, :2], *rotary).unbind(1)
        return self._after(hidden, attention(query, key, qkv[:, 2], batch))

    def first(
        self,
        hidden: Tensor,
        rotary: tuple[Tensor, Tensor] | None,
        batch: Batch,
        attention: Attention,
    ) -> Tensor:
        """(tokens, hidden) → (sequences, hidden): the same, for each first token only."""
        width = hidden.shape[1]
        weight, bias = self.qkv.weight, self.qkv.bias
        starts = batch.bounds[:-1]
        firsts = hidden.index_select(0, starts)
        query = F.linear(firsts, weight[:width], bias[:width]).view(len(firsts), 1, self.heads, -1)
        both = F.linear(hidden, weight[width:], bias[width:])
        both = both.view(len(hidden), 2, self.heads, -1)
        key, value = both[:, :1], both[:, 1]
        if rotary is not None:
            query = rotated(query, *(angles.index_select(0, starts) for angles in rotary))
            key = rotated(key, *rotary)
        return self._after(firsts, attention(query.squeeze(1), key.squeeze(1), value, batch))

    def _after(self, hidden: Tensor, attended: Tensor) -> Tensor:
        hidden = self.attention_norm(hidden + self.out(attended.flatten(1)))
        if self.gated:
            gate, up = self.up(hidden).chunk(2, -1)
            wide = self.activation(gate) * up
        else:
            wide = self.activation(self.up(hidden))
        return self.norm(hidden + self.down(wide))  # type: ignore[no-any-return]


def rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Each pair (x_i, x_{i + width/2}) turned by its token's angle.

    `x` is (tokens, any, heads, width), the others (tokens, width / 2).
    """
    cosine, sine = cosine[:, None, None], sine[:, None, None]
    first, second = x.chunk(2, -1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), -1)


class Trunk(nn.Module):
    """Ids → the last layer's state of each first token, shape (sequences, hidden)."""

    def __init__(
        self,
        *,
        words: Tensor,
        positions: Tensor | None,
        types: Tensor | None,
        norm: nn.LayerNorm,
        blocks: list[Block],
        rotary: tuple[Tensor, Tensor] | None,
        counted_from: int | None,
    ) -> None:
        super().__init__()
        self.words, self.norm, self.blocks = frozen(words), norm, nn.ModuleList(blocks)
        self.positions = None if positions is None else frozen(positions)
        self.types = None if types is None else frozen(types)
        # Tables of (positions, width / 2), made from float32 and cast with the weights.
        self.cosine = None if rotary is None else frozen(rotary[0])
        self.sine = None if rotary is None else frozen(rotary[1])
        # RoBERTa counts positions from its padding's id + 1, and skips padding.
        self.counted_from = counted_from

    def forward(self, batch: Batch, attention: Attention) -> Tensor:
        hidden = F.embedding(batch.ids, self.words)
        if self.types is not None:
            types = torch.zeros_like(batch.ids) if batch.types is None else batch.types
            hidden = hidden + F.embedding(types, self.types)
        if self.positions is not None:
            hidden = hidden + F.embedding(batch.positions, self.positions)
        hidden = self.norm(hidden)
        rotary = None
        if self.cosine is not None and self.sine is not None:
            rotary = (
                F.embedding(batch.positions, self.cosine),
                F.embedding(batch.positions, self.sine),
            )
        *layers, last = self.layers
        for layer in layers:
            hidden = layer(hidden, rotary, batch, attention)
        return last.first(hidden, rotary, batch, attention)

    @property
    def layers(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence that has positions."""
        table = self.positions if self.positions is not None else self.cosine
        assert table is not None
        return len(table) - (self.counted_from or 0)


class Head(nn.Module):
    """First tokens' states → logits, in float32 whatever the trunk computes in."""

    def __init__(self, dense: nn.Linear, classifier: nn.Linear) -> None:
        super().__init__()
        self.dense, self.classifier = dense, classifier

    def forward(self, hidden: Tensor) -> Tensor:
        return self.classifier(torch.tanh(self.dense(hidden.float())))[:, 0]  # type: ignore[no-any-return]


def frozen(tensor: Tensor) -> nn.Parameter:
    """A new parameter that shares the numbers; casting it does not change the original."""
    return nn.Parameter(tensor.detach(), requires_grad=False)


def fused(*parts: nn.Linear) -> nn.Linear:
    """Several linear layers of the same input as one."""
    weights = [part.weight.detach() for part in parts]
    weight = weights[0] if len(parts) == 1 else torch.cat(weights)
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    made.weight = frozen(weight)
    if parts[0].bias is not None:
        made.bias = frozen(torch.cat([part.bias.detach() for part in parts]))
    return made


def norm(source: nn.LayerNorm) -> nn.LayerNorm:
    made = nn.LayerNorm(source.normalized_shape, source.eps, device="meta")
    made.weight, made.bias = frozen(source.weight), frozen(source.bias)
    return made


def _gte(model: Any) -> tuple[Trunk, Head]:
    body, config = model.gte, model.config
    blocks = [
        Block(
            heads=config.num_attention_heads,
            qkv=fused(layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj),
            out=fused(layer.self_attn.o_proj),
            attention_norm=norm(layer.post_attention_layernorm),
            up=fused(layer.mlp.gate_proj, layer.mlp.up_proj),
            gated=True,
            activation=layer.mlp.act_fn,
            down=fused(layer.mlp.down_proj),
            norm=norm(layer.post_mlp_layernorm),
        )
        for layer in body.layers
    ]
    embeddings = body.embeddings
    words = embeddings.word_embeddings.weight
    kinds = embeddings.token_type_embeddings
    # The model's own module computes the angles, with their scaling.
    positions = torch.arange(config.max_position_embeddings, device=words.device)
    cosine, sine = body.rotary_emb(words[:1].float(), positions[None])
    width = cosine.shape[-1] // 2
    trunk = Trunk(
        words=words,
        positions=None,
        types=None if kinds is None else kinds.weight,
        norm=norm(embeddings.LayerNorm),
        blocks=blocks,
        rotary=(cosine[0, :, :width].contiguous(), sine[0, :, :width].contiguous()),
        counted_from=None,
    )
    return trunk, Head(fused(body.pooler.dense), fused(model.classifier))


def _bert(model: Any) -> tuple[Trunk, Head]:
    head = Head(fused(model.bert.pooler.dense), fused(model.classifier))
    return _bert_trunk(model.bert, model.config, counted_from=None), head


def _roberta(model: Any) -> tuple[Trunk, Head]:
    head = Head(fused(model.classifier.dense), fused(model.classifier.out_proj))
    counted_from = model.config.pad_token_id + 1
    return _bert_trunk(model.roberta, model.config, counted_from=counted_from), head


def _bert_trunk(body: Any, config: Any, *, counted_from: int | None) -> Trunk:
    def block(layer: Any) -> Block:
        attention = layer.attention
        return Block(
            heads=config.num_attention_heads,
            qkv=fused(attention.self.query, attention.self.key, attention.self.value),
            out=fused(attention.output.dense),
            attention_norm=norm(attention.output.LayerNorm),
            up=fused(layer.intermediate.dense),
            gated=False,
            activation=layer.intermediate.intermediate_act_fn,
            down=fused(layer.output.dense),
            norm=norm(layer.output.LayerNorm),
        )

    embeddings = body.embeddings
    return Trunk(
        words=embeddings.word_embeddings.weight,
        positions=embeddings.position_embeddings.weight,
        types=embeddings.token_type_embeddings.weight,
        norm=norm(embeddings.LayerNorm),
        blocks=[block(layer) for layer in body.encoder.layer],
        rotary=None,
        counted_from=counted_from,
    )


ARCHITECTURES: dict[str, Callable[[Any], tuple[Trunk, Head]]] = {
    "GteForSequenceClassification": _gte,
    "BertForSequenceClassification": _bert,
    "RobertaForSequenceClassification": _roberta,
    "XLMRobertaForSequenceClassification": _roberta,
}
"""Classes of transformers that can be computed here, by name."""


def supports(model: Any) -> bool:
    """Whether `Engine` computes what the model does."""
    config = model.config
    rope = getattr(config, "rope_parameters", None) or {}
    return (
        type(model).__name__ in ARCHITECTURES
        and config.num_labels == 1
        and not getattr(config, "is_decoder", False)
        # Angles that change with the length of the input have no table.
        and rope.get("rope_type", "default") in ("default", "linear")
    )
