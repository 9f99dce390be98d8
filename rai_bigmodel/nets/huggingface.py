"""How does a pretrained Hugging Face encoder become a net? Its vectors, averaged, under a new head.

Shapes: B rows, T positions, D width of the encoder, K outputs.

- ``ids_BT``: int64, 0 = padding behind, 1 = unknown, as in every net of ours (`nets.pretrained.places`).
- ``x_BD``: the mean of the encoder's last vectors over the real positions.
- ``logits_BK``.

The encoder stays as it was. With ``lora`` small matrices beside its layers are trained with the head (Hu et al. 2022,
arXiv:2106.09685, through `peft`); without, the head alone. Only what was trained is in the module's state, and so in a
run's file; the encoder is loaded from where it lies, and refused when its digest is another.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from msgspec import UNSET
from torch import Tensor, nn

from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.evidence import Record
from rai_bigmodel.nets import checks, pretrained
from rai_bigmodel.nets.lora import Lora, beside
from rai_bigmodel.nets.net import only
from rai_bigmodel.nets.reads import PADDING
from rai_bigmodel.nets.weights import bare, draw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rai_bigmodel.nets.reads import Reads


class HuggingFace(Record, omit_defaults=True):
    """A pretrained encoder with a new head: exactly one of `package`, `folder` says where it lies.

    Args:
        package: an installed package that holds the model's files.
        folder: the folder of the model's files, from where the program runs.
        lora: what is trained besides the head; ``None`` trains the head alone.
    """

    package: str = ""
    folder: str = ""
    lora: Lora | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.package) is bool(self.folder):
            msg = f"huggingface: exactly one of package, folder is needed, got {self.package!r} and {self.folder!r}"
            raise InputError(msg)

    def build(self, reads: Reads, *, outputs: int = 1, generator: torch.Generator | None = None) -> Encoded:
        """The module for texts in pieces; what is trained is drawn from `generator`, the rest is loaded.

        Raises:
            InputError: something else is to be read, or the encoder is not the one that `reads` speaks of.
            MissingExtra: transformers or peft is not installed.
        """
        only("huggingface", reads, "tokens")
        assert reads.tokens is not None
        if reads.tokens.base is UNSET:
            msg = "huggingface: reads texts as the pieces of its own tokenizer (level pieces, and a base)"
            raise InputError(msg)
        model = loaded(pretrained.located(reads.tokens.base), "AutoModel").requires_grad_(requires_grad=False)
        if self.lora is not None:
            beside(model, self.lora, generator)
        head = draw(bare(nn.Linear, model.config.hidden_size, outputs), generator)
        ours = pretrained.places_of(reads.tokens.base)
        net = Encoded(model, reads, ours=ours, head=head, dropout=self.lora is not None)
        return _saving_what_is_trained(net)


class Encoded(nn.Module):
    """A Hugging Face model behind our ids: ``ids_BT`` in, logits out, by `head` or by the model's own.

    Args:
        ours: our id of each of the tokenizer's (`pretrained.places`).
        head: vectors ``(B, D)`` → logits; ``None`` where the model is a classifier itself.
        dropout: whether the model's own dropout is at work in a training.

    Raises:
        InputError: texts are longer than the model has positions.
    """

    theirs: Tensor
    any_length: ClassVar[bool] = True
    """Whether leaving out positions that are padding in every row changes no answer."""

    def __init__(
        self, model: Any, reads: Reads, *, ours: Any, head: nn.Module | None, dropout: bool = False
    ) -> None:
        super().__init__()
        most = positions(model)
        if reads.tokens is not None and most is not None and reads.tokens.length > most:
            msg = f"text: length must be at most the {most} positions of this encoder, got {reads.tokens.length}"
            raise InputError(msg)
        self.reads, self.features = reads, reads.features
        self.model, self.head, self.dropout = model, head, dropout
        self.width = model.config.hidden_size
        theirs = torch.empty(len(ours), dtype=torch.int64)
        theirs[torch.from_numpy(ours)] = torch.arange(len(ours))
        self.register_buffer("theirs", theirs, persistent=False)

    @property
    def embedding(self) -> nn.Module:
        """The layer that turns ids into vectors, for explanations."""
        found: nn.Module = self.model.get_input_embeddings()
        return found

    def train(self, mode: bool = True) -> Encoded:  # noqa: FBT001, FBT002 - torch's signature
        """As torch's, but that a frozen model without adapters always gives the same vectors."""
        super().train(mode)
        if not self.dropout:
            self.model.eval()
        return self

    def encode(self, ids_BT: Tensor) -> Tensor:
        """Raw pieces → one vector a row ``(B, D)``: the mean over the real positions.

        Raises:
            InputError: the tensor has another shape.
        """
        checks.shape("huggingface", "ids", ids_BT, (None, None))
        real_BT = ids_BT != PADDING
        x_BTD = self.model(input_ids=self.theirs[ids_BT], attention_mask=real_BT.long()).last_hidden_state
        share_BT = real_BT.to(x_BTD.dtype) / real_BT.sum(dim=1, keepdim=True).clamp(min=1)
        return (x_BTD * share_BT[:, :, None]).sum(dim=1)

    def forward(self, ids_BT: Tensor) -> Tensor:
        """Raw pieces → logits ``(B, K)``.

        Raises:
            InputError: the tensor has another shape.
        """
        if self.head is not None:
            out: Tensor = self.head(self.encode(ids_BT))
            return out
        checks.shape("huggingface", "ids", ids_BT, (None, None))
        real_BT = ids_BT != PADDING
        logits: Tensor = self.model(input_ids=self.theirs[ids_BT], attention_mask=real_BT.long()).logits
        return logits


def label_names(folder: Path) -> tuple[str, ...]:
    """The labels of a classifier's folder, in the order of its logits; LABEL_0, LABEL_1 … where nobody named them.

    Raises:
        InputError: its configuration is none.
    """
    try:
        import transformers
    except ImportError:
        package, extra = "transformers", "huggingface"
        raise MissingExtra(package, extra, "a Hugging Face model") from None
    try:
        config = transformers.AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        msg = f"{folder}: no model can be made of it: {str(error).splitlines()[0]}"
        raise InputError(msg) from None
    return tuple(str(config.id2label[i]) for i in range(len(config.id2label)))


def positions(model: Any) -> int | None:
    """The most pieces of one text that a model has places for; ``None`` where its configuration names no most.

    RoBERTa and its kin count from behind the place of padding, so as many of their places hold no piece.
    """
    most: int | None = getattr(model.config, "max_position_embeddings", None)
    for name, part in model.named_modules():
        if name.endswith("position_embeddings") and getattr(part, "padding_idx", None) is not None:
            return int(part.num_embeddings - part.padding_idx - 1)
    return most


def loaded(folder: Path, kind: str) -> Any:
    """The model of a folder, float32 and in evaluation mode, by one of transformers' ``Auto…`` classes.

    Only files of that folder are read, only safetensors, and no code that lies beside them is run.

    Raises:
        InputError: transformers cannot make a model of it.
        MissingExtra: transformers is not installed.
    """
    try:
        import transformers
    except ImportError:
        package, extra = "transformers", "huggingface"
        raise MissingExtra(package, extra, "a Hugging Face model") from None
    with _quiet(transformers), torch.random.fork_rng(devices=[]):
        try:
            model = getattr(transformers, kind).from_pretrained(
                str(folder),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            msg = f"{folder}: no model can be made of it: {str(error).splitlines()[0]}"
            raise InputError(msg) from None
    return model.eval()


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """No progress bar of theirs inside the block."""
    shown = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers.utils.logging.enable_progress_bar()


def _saving_what_is_trained(net: Encoded) -> Encoded:
    """Leave what is frozen out of the module's state: it is its base's, and is told by the base's digest."""
    frozen = {name for name, p in net.named_parameters() if not p.requires_grad}
    frozen |= {f"model.{name}" for name, _ in net.model.named_buffers()}

    def without_the_frozen(_: nn.Module, state: dict[str, Any], prefix: str, __: Any) -> None:
        for name in frozen:
            state.pop(prefix + name, None)

    def they_are_not_missed(_: nn.Module, keys: Any) -> None:
        keys.missing_keys[:] = [k for k in keys.missing_keys if k not in frozen]

    net.register_state_dict_post_hook(without_the_frozen)
    net.register_load_state_dict_post_hook(they_are_not_missed)
    return net
