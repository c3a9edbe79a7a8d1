"""Tiny models with random weights, saved as real checkpoints."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

TEXTS = (
    "Department of Physics, University of Oslo, Oslo, Norway",
    "University of Oslo, Oslo, Norway",
    "Oslo University Hospital, Oslo, Norway",
    "Institut für Chemie, Universität Wien, Wien, Austria",
    "Universität Wien (University of Vienna), Vienna, Austria",
    "東京大学大学院医学系研究科",
    "東京大学 (The University of Tokyo), Tokyo, Japan",
    "Московский государственный университет, Москва, Россия",
)
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")


def save_tokenizer(folder: Path, *, separators: bool = True) -> Tokenizer:
    """An XLM-R-like tokenizer.json of some ninety pieces, with its settings."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(
        TEXTS,
        trainers.UnigramTrainer(vocab_size=300, special_tokens=list(SPECIAL), unk_token="<unk>"),
    )
    if separators:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>",
            pair="<s> $A </s> </s> $B </s>",
            special_tokens=[("<s>", 0), ("</s>", 2)],
        )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=64,
    ).save_pretrained(folder)
    return tokenizer


def save_bert(folder: Path, *, labels: int | None, layers: int = 2, seed: int = 0) -> Path:
    """A BERT of width 32; `labels` None: without a head, as an encoder is published."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertModel

    tokenizer = save_tokenizer(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        type_vocab_size=2,
        pad_token_id=1,
        # A wide start, so that the random scores differ.
        initializer_range=0.5,
        num_labels=labels or 1,
    )
    model = BertModel(config) if labels is None else BertForSequenceClassification(config)
    # Word embeddings that are 4-bit already, as those of the real base are.
    words = model.get_input_embeddings().weight
    words.data = torch.randint(-8, 8, words.shape) / 8.0
    model.save_pretrained(folder)
    return folder


def save_causal(folder: Path) -> Path:
    """A generative language model of width 32."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = save_tokenizer(folder)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        pad_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def save_sentence_transformer(folder: Path, *, prompts: dict[str, str] | None = None) -> Path:
    """A BERT of width 32 with mean pooling."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    base = save_bert(folder.with_name(folder.name + "-base"), labels=None)
    transformer = Transformer(str(base))
    SentenceTransformer(
        modules=[transformer, Pooling(transformer.get_embedding_dimension(), "mean")],
        device="cpu",
        prompts=prompts,
    ).save_pretrained(str(folder), create_model_card=False)
    return folder


NTK = {"type": "ntk", "factor": 8.0}
"""The scaling of the published multilingual GTE checkpoints, over base 20000."""


def save_older_gte(folder: Path, *, seed: int = 0, **config: object) -> Path:
    """A GTE cross-encoder of random weights in the remote-code form that the hub has.

    Names, fused products and configuration are those of the published checkpoints. The weights
    are wide enough for attention, and with it positions, to decide the score.
    """
    tokenizer = save_tokenizer(folder)
    settings = {
        "architectures": ["NewForSequenceClassification"],
        "auto_map": {
            "AutoConfig": "Alibaba-NLP/new-impl--configuration.NewConfig",
            "AutoModelForSequenceClassification": (
                "Alibaba-NLP/new-impl--modeling.NewForSequenceClassification"
            ),
        },
        "model_type": "new",
        "attention_probs_dropout_prob": 0.0,
        "classifier_dropout": 0.0,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": 128,
        "id2label": {"0": "LABEL_0"},
        "initializer_range": 0.02,
        "intermediate_size": 192,
        "label2id": {"LABEL_0": 0},
        "layer_norm_eps": 1e-12,
        "layer_norm_type": "layer_norm",
        "logn_attention_clip1": False,
        "logn_attention_scale": False,
        "max_position_embeddings": 8192,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "pack_qkv": True,
        "pad_token_id": 1,
        "position_embedding_type": "rope",
        "rope_scaling": NTK,
        "rope_theta": 20000,
        "torch_dtype": "float32",
        "transformers_version": "4.39.1",
        "type_vocab_size": 1,
        "unpad_inputs": False,
        "use_memory_efficient_attention": False,
        "vocab_size": tokenizer.get_vocab_size(),
        **config,
    }
    (folder / "config.json").write_text(json.dumps(settings))
    save_file(older_gte_weights(settings, seed), folder / "model.safetensors", {"format": "pt"})
    return folder


def older_gte_weights(config: dict[str, Any], seed: int = 0) -> dict[str, np.ndarray]:
    """Random float32 weights under the names of the remote-code form."""
    rng = np.random.default_rng(seed)
    hidden, wide = config["hidden_size"], config["intermediate_size"]

    def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    def linear(name: str, inputs: int, outputs: int, *, scale: float = 1.0, bias: bool = True):
        weights[f"{name}.weight"] = normal(outputs, inputs, scale=scale / inputs**0.5)
        if bias:
            weights[f"{name}.bias"] = normal(outputs, scale=0.1)

    def norm(name: str) -> None:
        weights[f"{name}.weight"] = 1 + normal(hidden, scale=0.1)
        weights[f"{name}.bias"] = normal(hidden, scale=0.1)

    weights: dict[str, np.ndarray] = {
        "new.embeddings.word_embeddings.weight": normal(config["vocab_size"], hidden)
    }
    if config["type_vocab_size"]:
        types = normal(config["type_vocab_size"], hidden)
        weights["new.embeddings.token_type_embeddings.weight"] = types
    norm("new.embeddings.LayerNorm")
    for layer in range(config["num_hidden_layers"]):
        name = f"new.encoder.layer.{layer}"
        linear(f"{name}.attention.qkv_proj", hidden, 3 * hidden, scale=1.5)
        linear(f"{name}.attention.o_proj", hidden, hidden, scale=2.0)
        norm(f"{name}.attn_ln")
        linear(f"{name}.mlp.up_gate_proj", hidden, 2 * wide, bias=False)
        linear(f"{name}.mlp.down_proj", wide, hidden)
        norm(f"{name}.mlp_ln")
    linear("new.pooler.dense", hidden, hidden)
    linear("classifier", hidden, len(config["id2label"]), scale=2.0)
    return weights
