"""Small models as Hugging Face writes them, made here: four words, two layers, weights drawn from a seed."""

import json
from pathlib import Path

import torch

WORDS = ["[PAD]", "warm", "[UNK]", "[CLS]", "[SEP]", "cold", "we", "are", "##er"]
"""Padding stands at 0, but the unknown piece does not stand at 1."""


def write_bert(
    folder: Path, *, labels: dict[int, str] | None = None, seed: int = 0, positions: int = 256
) -> Path:
    """A BERT of width 16 in a folder; a sequence classifier where labels are named."""
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    more = {} if labels is None else {"id2label": labels}
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=positions,
        pad_token_id=0,
        **more,
    )
    kind = transformers.BertModel if labels is None else transformers.BertForSequenceClassification
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        kind(config).save_pretrained(folder)
    cut = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))  # noqa: S106
    cut.normalizer = normalizers.BertNormalizer(lowercase=True)
    cut.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    cut.post_processor = processors.BertProcessing(("[SEP]", 4), ("[CLS]", 3))
    cut.save(str(folder / "tokenizer.json"))
    assert json.loads((folder / "config.json").read_text())["hidden_size"] == 16
    return folder
