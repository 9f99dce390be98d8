"""Which words make a language model say what it says next?

What is explained is how likely the next word is: the log-probability of the word that really stands behind the first
`PROMPT` words of a row. All rows at once go through the embedding, as any text does (`readings.of_texts`), and so
through the battery. For a single row Captum's LLM classes tell each of the next `CONTINUED` words apart; whether the
order that they give the prompt's words is better than chance is told by the same insertion and deletion against the
attributions handed to other words.

Shapes: n rows, P words of a prompt, C words of a continuation, V ids.
"""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from rai_bigmodel.audits.cases import Case
from rai_bigmodel.audits.faithfulness import insertion_deletion
from rai_bigmodel.errors import InputError
from rai_bigmodel.nets.reads import PADDING, UNKNOWN

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rai_bigmodel.audits.faithfulness import Test
    from rai_bigmodel.subject import Array

PROMPT, CONTINUED = 24, 6
Way = Literal["ablation", "shapley", "integrated_gradients"]


class Continued(NamedTuple):
    """What each word of a prompt adds to the log-probability of the words behind it.

    Args:
        together: to that of all of them ``(P,)``.
        each: to that of each one ``(C, P)``.
        test: insertion and deletion against the same attributions on other words.
    """

    together: Array
    each: Array
    test: Test


def next_word(module: Any, ids: Array) -> tuple[Any, Array, Array]:
    """A language model as a network with one row of outputs; its prompts ``(n, P)`` and their next words ``(n,)``.

    Raises:
        InputError: a row has fewer than two words.
    """
    from torch import nn

    long = (ids != PADDING).sum(axis=1)
    if (bad := int((long < 2).sum())) > 0:
        msg = f"{bad:,} of {len(ids):,} rows have fewer than two words, so nothing stands behind a first one"
        raise InputError(msg)
    end = np.minimum(long - 1, PROMPT)
    most = int(end.max())
    prompts = np.where(np.arange(most)[None] < end[:, None], ids[:, :most], PADDING)
    following = ids[np.arange(len(ids)), end]

    class NextWord(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module
            self.reads = module.reads

        @property
        def embedding(self) -> nn.Module:
            found: nn.Module = self.inner.embedding
            return found

        def forward(self, ids_BT: Tensor) -> Tensor:
            logits_BTV = logits_of(self.inner(ids_BT))
            last_B = (ids_BT != PADDING).sum(dim=1).clamp(min=1) - 1
            logits_BV = logits_BTV[last_B.new_tensor(range(len(ids_BT))), last_B]
            return logits_BV.log_softmax(dim=1)

    return NextWord().eval(), np.ascontiguousarray(prompts), following


def logits_of(out: Any) -> Tensor:
    """Logits ``(B, T, V)`` of a network of ours, or of Hugging Face's, which hands them over in a record."""
    found: Tensor = getattr(out, "logits", out)
    return found


def continued(
    module: Any, prompt: Array, following: Array, rng: np.random.Generator, *, way: Way = "ablation"
) -> Continued:
    """What each word of one prompt adds to the words behind it, by Captum's LLM classes.

    Args:
        module: ids ``(B, T)`` → logits, ours or Hugging Face's causal language model, in evaluation mode.
        prompt, following: ids ``(P,)`` and ``(C,)``.
        way: taking words away one by one, Shapley values from sampled orders, or Integrated Gradients through the
            embedding; a word that is taken away is an unknown one.

    Raises:
        InputError: there is no word on one of the sides.
        MissingExtra: Captum is not installed.
    """
    import torch

    from rai_bigmodel.audits.attributions import captums

    if not len(prompt) or not len(following):
        msg = f"a prompt and words behind it are needed, got {len(prompt)} and {len(following)} words"
        raise InputError(msg)
    captum = captums()
    from captum.attr import TextTokenInput

    model, tokenizer = _speaking(module), Ids()
    given = TextTokenInput(" ".join(str(i) for i in prompt), tokenizer, baselines=UNKNOWN)
    target = " ".join(str(i) for i in following)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**62)))
        if way == "integrated_gradients":
            layer = captum.LayerIntegratedGradients(model, model.embedding)
            # Captum's own start is that no word is there, which `given` says is an unknown one.
            found = captum.LLMGradientAttribution(layer, tokenizer).attribute(
                given, target, n_steps=32, method="gausslegendre", internal_batch_size=64
            )
        else:
            method = (captum.FeatureAblation if way == "ablation" else captum.ShapleyValueSampling)(model)
            found = captum.LLMAttribution(method, tokenizer).attribute(
                given, target, use_cached_outputs=False
            )
    together = found.seq_attr.detach().numpy().astype(np.float64).reshape(-1)
    each = found.token_attr.detach().numpy().astype(np.float64).reshape(len(following), -1)
    case = saying(module, prompt, following)
    return Continued(together, each, insertion_deletion(case, together[None], rng))


def saying(module: Any, prompt: Array, following: Array) -> Case:
    """How likely all words behind one prompt are, as a case of one row whose features are the prompt's words."""
    import torch

    behind = torch.from_numpy(following)

    def score(rows: Array, _: Array) -> Array:
        with torch.no_grad():
            ids = torch.from_numpy(rows.astype(np.int64))
            whole = torch.cat([ids, behind.expand(len(ids), -1)], dim=1)
            logits = logits_of(module(whole))[:, len(prompt) - 1 : -1]
            each = logits.log_softmax(dim=2).gather(2, behind.expand(len(ids), -1)[:, :, None])
            said: Array = each.sum(dim=(1, 2)).double().numpy()
        return said

    return Case(
        x=prompt[None].astype(np.float32),
        start=np.full((1, len(prompt)), UNKNOWN, dtype=np.float32),
        score=score,
        parts=np.arange(len(prompt)),
        names=tuple(f"position {i + 1}" for i in range(len(prompt))),
        batch=256,
        codes=np.ones(len(prompt), dtype=bool),
    )


def _speaking(module: Any) -> nn.Module:
    """A language model as Captum's LLM classes ask it: by keyword, and with logits in a record."""
    from torch import nn

    class Speaking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        @property
        def device(self) -> Any:
            return next(self.inner.parameters()).device

        @property
        def embedding(self) -> Any:
            own = getattr(self.inner, "embedding", None)
            return self.inner.get_input_embeddings() if own is None else own

        def forward(self, input_ids: Tensor, **_: Any) -> Any:
            return SimpleNamespace(logits=logits_of(self.inner(input_ids)))

    return Speaking().eval()


class Ids:
    """A tokenizer of texts that are ids already, written with spaces: Captum asks for one, and we have the ids."""

    def encode(self, text: str, **how: Any) -> Any:
        """The ids of a text; as a tensor ``(1, T)`` where that is asked for."""
        import torch

        ids = [int(i) for i in text.split()]
        return torch.tensor([ids]) if how.get("return_tensors") else ids

    def decode(self, ids: Any, **_: Any) -> str:
        """Ids as a text."""
        return " ".join(str(int(i)) for i in ids)

    def convert_ids_to_tokens(self, ids: Any) -> Any:
        """Each id as a text of its own."""
        return [str(int(i)) for i in ids] if hasattr(ids, "__iter__") else str(int(ids))

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """Texts of single ids back as ids."""
        return [int(t) for t in tokens] if isinstance(tokens, list) else int(tokens)

    def __call__(self, text: str, **how: Any) -> Any:
        """The ids of a text, and where each stands in it."""
        places = [m.span() for m in re.finditer(r"\S+", text)]
        return {"input_ids": self.encode(text, **how), "offset_mapping": places}
