"""A model of sentence-transformers of a few thousand random weights, made without any download."""

from collections.abc import Sequence
from pathlib import Path

from needs import needs

HIDDEN, LAYERS = 32, 3


def tiny_model(
    folder: Path, texts: Sequence[str], seed: int = 1, dropout: float = 0.0, dtype: str = "float32"
) -> str:
    """Save a model of LAYERS layers that knows the words of the texts; return its folder."""
    torch, transformers, _ = needs("torch", "transformers", "sentence_transformers")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    words = sorted({word for text in texts for word in text.lower().split()})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    parts = folder.with_name(f"{folder.name}-parts")
    parts.mkdir(parents=True)
    (parts / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary), hidden_size=HIDDEN, num_hidden_layers=LAYERS,
        num_attention_heads=2, intermediate_size=64, max_position_embeddings=64,
        initializer_range=0.1, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(parts)
    transformers.BertTokenizerFast.from_pretrained(parts).save_pretrained(parts)
    modules = [Transformer(str(parts), max_seq_length=32), Pooling(HIDDEN, "mean")]
    made = SentenceTransformer(modules=modules, device="cpu").to(getattr(torch, dtype))
    made.save(str(folder), create_model_card=False)
    return str(folder)
