"""Tiny models with random weights, saved as real checkpoints."""

from pathlib import Path

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


def save_tokenizer(folder: Path) -> Tokenizer:
    """An XLM-R-like tokenizer.json of some hundred pieces, with its settings."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(
        TEXTS,
        trainers.UnigramTrainer(vocab_size=300, special_tokens=list(SPECIAL), unk_token="<unk>"),
    )
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


def save_bert(folder: Path, *, labels: int | None, layers: int = 2) -> Path:
    """A BERT of width 32; `labels` None: without a head, as an encoder is published."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertModel

    tokenizer = save_tokenizer(folder)
    torch.manual_seed(0)
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
