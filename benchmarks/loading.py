"""How much memory does loading a model of 1 GB take, over the memory of the program that loads it?

    python benchmarks/loading.py                     # the table; 1.1 GB of disk in the temporary folder, a minute
    python benchmarks/loading.py --one WAY FOLDER    # one way, in a process of its own

A causal Transformer of 250 million weights, saved in shards of 200 MB and as one file. Each way runs in a fresh
process; what is compared is by how much the largest resident size (``VmHWM``) rises over that of the same process
after all imports and one small matrix product, in units of the model's size. Only memory that is really touched
counts, so pages of a mapped file count once they are read. *The plain way* is what a user of safetensors or of
``torch.save`` would write: build the network, load the file, ``load_state_dict``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import safetensors.torch
import torch

from rai_bigmodel import datasets
from rai_bigmodel.nets import Transformer
from rai_bigmodel.training import fit
from rai_bigmodel.training.card import Card
from rai_bigmodel.training.checkpoint import CARD, Run, digest_of, load_run, save_run
from rai_bigmodel.training.recipe import Net, Recipe
from rai_bigmodel.training.settings import Train

NET = Transformer(width=1024, heads=16, layers=20, feedforward=4096, causal=True)
SHARD = 200_000_000


def saved(folder: Path) -> None:
    """The same run in three folders: shards, one file, and a file of ``torch.save``."""
    small = msgspec.structs.replace(NET, width=32, layers=1, feedforward=32)
    recipe = Recipe(
        data="templates", net=Net.of(small), train=Train(epochs=1, batch_size=4096, loss="language_model")
    )
    card = fit.train_recipe(recipe, splits=datasets.by_name("templates")).card
    module = NET.build(card.reads, outputs=card.aim.outputs(card.reads), generator=torch.Generator())
    recipe = msgspec.structs.replace(recipe, net=Net.of(NET))
    digest = digest_of(module, net=recipe.net, reads=card.reads, aim=card.aim, decision=card.decision)
    run = Run(module=module, card=msgspec.structs.replace(card, recipe=recipe, digest=digest))
    save_run(run, folder / "shards", max_shard_bytes=SHARD)
    save_run(run, folder / "one")
    torch.save(module.state_dict(), folder / "torch.pt")


def peak() -> int:
    """The largest resident size of this process so far, in bytes."""
    # Not getrusage: what that says a process inherits from the one that started it.
    with Path("/proc/self/status").open(encoding="ascii") as status:
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) * 1024


def load(way: str, folder: Path) -> torch.nn.Module:
    """Load the model in one of the ways."""
    if way in {"shards", "one"}:
        return load_run(folder / way).module
    card = msgspec.json.decode((folder / "one" / CARD).read_bytes(), type=Card)
    module = NET.build(card.reads, outputs=card.aim.outputs(card.reads))
    if way == "safetensors":
        module.load_state_dict(safetensors.torch.load_file(folder / "one" / "model.safetensors"))
    else:
        module.load_state_dict(torch.load(folder / "torch.pt", weights_only=True))
    return module


def one(way: str, folder: Path) -> None:
    """The size, the rise, and the seconds of one way, in this process."""
    torch.zeros((64, 64)) @ torch.zeros((64, 64))
    before, began = peak(), time.process_time()
    module = load(way, folder)
    spent = time.process_time() - began
    size = sum(t.nbytes for t in module.state_dict().values())
    print(size, (peak() - before) / size, spent)


def main() -> None:
    """Print the table."""
    ways = {
        "`load_run`, shards with an index": "shards",
        "`load_run`, one file": "one",
        "plain: `safetensors.torch.load_file`": "safetensors",
        "plain: `torch.load`": "torch",
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own: what it touched is not to be inherited.
        subprocess.run([sys.executable, __file__, "--save", name], check=True)  # noqa: S603 - this file
        shards = sorted(p.name for p in (folder / "shards").glob("model-*.safetensors"))
        print("| way | peak over the model's size | limit | processor seconds |\n|---|---|---|---|")
        for words, way in ways.items():
            command = [sys.executable, __file__, "--one", way, name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - this file
            size, ratio, spent = done.stdout.split()
            limit = "1.2" if way in {"shards", "one"} else ""
            print(f"| {words} | {float(ratio):.2f} | {limit} | {float(spent):.1f} |")
        print(f"\n{int(size):,} bytes; {len(shards)} shards")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], Path(sys.argv[3]))
    elif sys.argv[1:2] == ["--save"]:
        saved(Path(sys.argv[2]))
    else:
        main()
