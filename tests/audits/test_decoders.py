"""Language models: which words make the next ones likely, through Captum's LLM classes, beside a null for tokens."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="networks need the extra 'train'")
pytest.importorskip("captum.attr", reason="these methods need the extra 'explain'")

import cohorts
import torch

from rai_bigmodel import nets
from rai_bigmodel.audits import decoders
from rai_bigmodel.audits.explainability import Explainability
from rai_bigmodel.audits.faithfulness import insertion_deletion
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Decision, Heatmap
from rai_bigmodel.subject import Splits, Subject
from rai_bigmodel.tables import Table

WORDS, LENGTH = 12, 12


@pytest.fixture(scope="module")
def copying():
    """A language model that was taught to say every word again after `LENGTH` // 2, and fresh rows of that kind."""
    tokens = nets.Tokens(words=tuple(f"w{i}" for i in range(WORDS)), length=LENGTH)
    config = nets.Transformer(width=32, heads=4, layers=2, feedforward=64, causal=True)
    net = config.build(nets.Reads(tokens=tokens), generator=torch.Generator().manual_seed(0))
    r = np.random.default_rng(0)

    def rows(n: int) -> np.ndarray:
        half = r.integers(2, WORDS + 2, size=(n, LENGTH // 2))
        return np.concatenate([half, half], axis=1)

    optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3)
    ids = torch.from_numpy(rows(1000))
    for _ in range(14):
        for batch in torch.randperm(len(ids), generator=torch.Generator().manual_seed(1)).split(100):
            optimizer.zero_grad()
            logits = net(ids[batch])[:, LENGTH // 2 - 1 : -1]
            torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), ids[batch][:, LENGTH // 2 :].flatten()
            ).backward()
            optimizer.step()
    return net.eval(), rows(40)


@pytest.mark.parametrize("way", ["ablation", "shapley", "integrated_gradients"])
def test_the_word_that_is_said_again_is_found_and_beats_chance(copying, way) -> None:
    """The next word is the one `LENGTH` // 2 before it: it has the largest attribution, and the null is rejected."""
    net, ids = copying
    prompt, behind = ids[0, : LENGTH // 2 + 1], ids[0, LENGTH // 2 + 1 : LENGTH // 2 + 3]
    found = decoders.continued(net, prompt, behind, np.random.default_rng(0), way=way)

    assert found.each.shape == (2, len(prompt))
    np.testing.assert_allclose(found.each.sum(axis=0), found.together, atol=1e-3)
    assert found.each[0].argmax() == 1
    assert found.test.passed is True


def test_attributions_of_words_that_were_permuted_do_not_beat_chance(copying) -> None:
    """The null for tokens rejects what knows nothing of the model."""
    net, ids = copying
    prompt, behind = ids[1, : LENGTH // 2 + 1], ids[1, LENGTH // 2 + 1 : LENGTH // 2 + 3]
    found = decoders.continued(net, prompt, behind, np.random.default_rng(0))
    wrong = np.roll(found.together, 3)
    test = insertion_deletion(decoders.saying(net, prompt, behind), wrong[None], np.random.default_rng(1))

    assert test.passed is False


def test_taking_words_away_is_what_a_naive_loop_does(copying) -> None:
    """Each word replaced by an unknown one, the fall of the log-probability of what stands behind."""
    net, ids = copying
    prompt, behind = ids[2, :7], ids[2, 7:9]
    found = decoders.continued(net, prompt, behind, np.random.default_rng(0))

    def said(words: np.ndarray) -> float:
        with torch.no_grad():
            logits = net(torch.from_numpy(np.concatenate([words, behind])[None]))[0].log_softmax(dim=1)
        return sum(float(logits[len(words) - 1 + i, w]) for i, w in enumerate(behind))

    twin = [said(prompt) - said(np.where(np.arange(7) == i, 1, prompt)) for i in range(7)]
    np.testing.assert_allclose(found.together, twin, atol=1e-4)


def test_a_language_model_of_hugging_face_is_asked_in_the_same_way() -> None:
    """A tiny randomly initialised one; every way gives a number for each word, and they agree about the largest."""
    transformers = pytest.importorskip(
        "transformers", reason="Hugging Face models need the extra 'huggingface'"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        config = transformers.GPT2Config(
            vocab_size=40, n_positions=32, n_embd=32, n_layer=2, n_head=2, bos_token_id=2, eos_token_id=3
        )
        model = transformers.GPT2LMHeadModel(config).eval()
    ids = np.random.default_rng(0).integers(4, 40, size=10)
    found = [
        decoders.continued(model, ids[:8], ids[8:], np.random.default_rng(0), way=way).together
        for way in ("ablation", "shapley", "integrated_gradients")
    ]

    assert all(np.isfinite(f).all() and f.shape == (8,) for f in found)
    assert len({int(np.abs(f).argmax()) for f in found}) == 1


def test_the_audit_explains_the_next_word_and_shows_which_words_made_it_likely(copying) -> None:
    """Faithful by the battery; the words are positions unless they may be shown."""
    net, ids = copying
    texts = np.array([" ".join(f"w{i - 2}" for i in row) for row in ids], dtype=object)

    def read(inputs):
        return (np.array([[int(w[1:]) + 2 for w in text.split()] for text in inputs["text"]]),)

    def predict(inputs):
        (rows,) = read(inputs)
        with torch.no_grad():
            logits = net(torch.from_numpy(rows))[:, :-1].log_softmax(dim=2)
        said = logits.gather(2, torch.from_numpy(rows[:, 1:, None])).sum(dim=(1, 2)).numpy()
        return np.stack([-said, np.full(len(rows), LENGTH - 1.0)], axis=1)

    subject = Subject(
        name="lm", kind="torch", digest="sha256:" + "e" * 64, predict=predict, module=net, read=read,
        decision=Decision(kind="threshold", threshold=None, positive="", labels=()), card={"outcome": "language"},
    )  # fmt: skip
    data = Splits(held_out=Table(name="t", columns={"text": texts}, roles={"feature": ("text",)}))
    found = Explainability(cases=(1,))(subject, data, cohorts.rng())
    faithful = next(m for m in found.measurements if m.metric == "explainability.faithful")
    grid = next(e for e in found.exhibits if isinstance(e, Heatmap) and "next ones likely" in e.title)

    assert faithful.value == 1.0, faithful.why
    assert grid.columns[0] == "position 1"
    assert "rankings that know nothing" in grid.caption


def test_a_prompt_without_words_is_refused(copying) -> None:
    """One line."""
    with pytest.raises(InputError, match="a prompt and words behind it"):
        decoders.continued(copying[0], np.zeros(0, dtype=np.int64), np.array([3]), np.random.default_rng(0))
    with pytest.raises(InputError, match="fewer than two words"):
        decoders.next_word(copying[0], np.array([[4, 0, 0]]))
