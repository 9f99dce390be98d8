"""Is there one door for audits, and does it name who broke it?"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rai_bigmodel import plugins
from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.testing import example_splits, example_subject

ROOT = Path(__file__).resolve().parent.parent

SOUND = """
from typing import ClassVar
import msgspec
from rai_bigmodel.evidence import Findings, Measurement

class Sound(msgspec.Struct, frozen=True):
    question: ClassVar[str] = "Is it sound?"
    needs: ClassVar[tuple[str, ...]] = ("predict",)
    margin: float = 0.05
    bins: tuple[int, ...] = ()

    def __call__(self, subject, data, rng):
        return Findings(measurements=(Measurement(metric="sound.margin", kind="exact", value=self.margin),))
"""


class Market:
    """A folder on sys.path into which distributions can be put, as pip would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, name: str, version: str, source: str, *entries: str, module: str = "") -> None:
        """A distribution with one module (its name in lower case) and its entry points."""
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = "\n".join(entries)
        (info / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{lines}\n")
        (self.folder / f"{module or name.replace('-', '_')}.py").write_text(source)


@pytest.fixture
def market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Market:
    """An empty market, first on sys.path; what is imported from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield Market(tmp_path)
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def refused(name: str, params: dict[str, Any] | None = None, **fields: str) -> str:
    with pytest.raises(InputError) as error:
        plugins.load(name, params, **fields)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_installed_audit_is_listed_with_where_it_comes_from(market: Market) -> None:
    """Name, distribution, version and target."""
    market.put("acme-sound", "1.2", SOUND, "sound = acme_sound:Sound")

    assert plugins.installed()["sound"] == plugins.Installed(
        name="sound", distribution="acme-sound", version="1.2", target="acme_sound:Sound"
    )


def test_listing_imports_nothing(market: Market) -> None:
    """A package that breaks on import can still be listed."""
    market.put("acme-bomb", "1.0", "raise RuntimeError('imported')", "bomb = acme_bomb:Bomb")

    assert "bomb" in plugins.installed()
    assert "acme_bomb" not in sys.modules


def test_loading_imports_only_the_file_asked_for(market: Market) -> None:
    """The bomb beside it does not go off."""
    market.put("acme-sound", "1.2", SOUND, "sound = acme_sound:Sound")
    market.put("acme-bomb", "1.0", "raise RuntimeError('imported')", "bomb = acme_bomb:Bomb")
    audit = plugins.load("sound", {"margin": 0.25, "bins": [1, 2]})
    found = audit(example_subject(), example_splits(), np.random.default_rng(0))

    assert audit.question == "Is it sound?"
    assert found.measurements[0].value == 0.25
    assert "acme_bomb" not in sys.modules


def test_parameters_have_defaults_and_whole_numbers_are_numbers(market: Market) -> None:
    """``{margin: 1}`` in YAML is 1.0."""
    market.put("acme-sound", "1.2", SOUND, "sound = acme_sound:Sound")

    assert plugins.load("sound") == plugins.load("sound", {}) == plugins.load("sound", {"margin": 0.05})
    assert plugins.load("sound", {"margin": 1}) == plugins.load("sound", {"margin": 1.0})


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (
            {"margn": 0.1},
            "$.audits.sound.margn: 'margn' is not there; there are: bins, margin. Did you mean 'margin'?",
        ),
        ({"margin": "0.1"}, "$.audits.sound.margin: expected `float`, got `str`"),
        ({"margin": True}, "$.audits.sound.margin"),
        ({"margin": None}, "$.audits.sound.margin"),
        ({"bins": [1, "2"]}, "$.audits.sound.bins[1]"),
        ({"question": "Is it?"}, "$.audits.sound.question"),
        ({"x\n[PASS]": 1}, "$.audits.sound.x\\n[PASS]"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_path(market: Market, params: dict[str, Any], said: str) -> None:
    """Also where the author did not forbid unknown fields."""
    market.put("acme-sound", "1.2", SOUND, "sound = acme_sound:Sound")

    assert said in refused("sound", params)


def test_the_path_says_which_file_and_which_entry(market: Market) -> None:
    """``fairness/age`` in audit.yaml is not ``fairness``."""
    market.put("acme-sound", "1.2", SOUND, "sound = acme_sound:Sound")

    said = refused("sound", {"margin": "x"}, where="audit.yaml", at="$.audits.sound/wide")
    assert said.startswith("audit.yaml: $.audits.sound/wide.margin: ")


def test_an_unknown_audit_is_answered_with_those_there_are(market: Market) -> None:
    """And with the nearest."""
    market.put("acme-sound", "1.2", SOUND, "sound = acme_sound:Sound")

    assert "Did you mean 'sound'?" in refused("soud")
    assert "os:system" in refused("os:system")


def test_two_packages_with_one_name_are_an_error_that_names_both(market: Market) -> None:
    """Neither wins by the order of installation."""
    market.put("acme-sound", "1.2", SOUND, "sound = acme_sound:Sound")
    market.put("other-sound", "3.4", SOUND, "sound = other_sound:Sound")
    with pytest.raises(
        InputError, match=r"acme-sound 1\.2 .*other-sound 3\.4|other-sound 3\.4 .*acme-sound 1\.2"
    ):
        plugins.installed()


def test_a_package_that_stands_on_the_path_twice_is_no_conflict(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editable install beside a built one: the first counts, as for import."""
    market.put("acme-sound", "1.2", SOUND, "sound = acme_sound:Sound")
    Market(tmp_path / "older").put("Acme_Sound", "1.1", SOUND, "sound = acme_sound:Sound")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "older")])

    assert plugins.installed()["sound"].version == "1.2"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("Broken = 1", "must be a class made from msgspec.Struct"),
        ("class Broken: pass", "must be a class made from msgspec.Struct"),
        ("def Broken(subject, data, rng): pass", "must be a class made from msgspec.Struct"),
        (SOUND.replace("Sound", "Broken").replace(", frozen=True", ""), "must be frozen"),
        (SOUND.replace("Sound", "Broken").replace("question: ClassVar[str]", "question: str"), "question"),
        (SOUND.replace("Sound", "Broken").replace('"Is it sound?"', '" "'), "question"),
        (SOUND.replace("Sound", "Broken").replace('("predict",)', '["predict"]'), "needs"),
        (SOUND.replace("Sound", "Broken").replace('("predict",)', '("predict", "internet")'), "'internet'"),
        (SOUND.replace("Sound", "Broken").replace("__call__", "run"), "must be callable"),
        ("", "cannot be imported (AttributeError"),
        ("import no_such_library_at_all", "cannot be imported (ModuleNotFoundError"),
        ("def (", "cannot be imported (SyntaxError"),
        ("raise RuntimeError('a\\nb')", "cannot be imported (RuntimeError: a\\nb)"),
    ],
)
def test_an_audit_that_breaks_the_rules_of_the_door_is_named_with_its_package(
    market: Market, source: str, said: str
) -> None:
    """It is the package's fault, and the user must know whose."""
    market.put("acme-broken", "0.1", source, "broken = acme_broken:Broken")
    message = refused("broken")

    assert "'broken' of acme-broken 0.1" in message
    assert said in message


def test_a_name_that_no_metric_can_begin_with_is_refused(market: Market) -> None:
    """Evidence of it could not be written."""
    market.put("acme-sound", "1.2", SOUND, "Sound-Check = acme_sound:Sound")

    assert "a–z" in refused("Sound-Check")


def test_a_missing_extra_is_said_as_such(market: Market) -> None:
    """Not dressed up as a broken package."""
    source = "from rai_bigmodel.errors import MissingExtra\nraise MissingExtra('captum', 'explain', 'this')"
    market.put("acme-sound", "1.2", source, "sound = acme_sound:Sound")
    with pytest.raises(MissingExtra, match=r"rai_bigmodel\[explain\]"):
        plugins.load("sound")


def _ours() -> dict[str, str]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["project"]["entry-points"][plugins.GROUP]


@pytest.mark.parametrize(("name", "target"), sorted(_ours().items()))
def test_our_own_audits_come_through_the_same_door(market: Market, name: str, target: str) -> None:
    """Declared in pyproject.toml, loaded with their defaults, and keeping the rules."""
    market.put("rai-bigmodel", "0", "", f"{name} = {target}", module="unused_here")
    audit = plugins.load(name)

    assert plugins.problem(type(audit)) == ""
    assert type(audit).__module__ == target.partition(":")[0]


def test_listing_loads_no_heavy_library() -> None:
    """Neither NumPy nor torch, in a fresh interpreter."""
    code = "import sys; from rai_bigmodel import plugins; plugins.installed(); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()

    assert not {"numpy", "torch", "pandas", "scipy"} & set(loaded)
