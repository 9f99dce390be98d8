"""Is a missing package one line that names the extra?"""

import subprocess
import sys
from pathlib import Path

import pytest

from rai_bigmodel import accounting
from rai_bigmodel.deploy import session, to_onnx
from rai_bigmodel.errors import MissingExtra
from rai_bigmodel.nets import MLP, Input, Reads
from rai_bigmodel.training import private


def test_without_torch_the_nets_name_the_extra() -> None:
    """Asking for a net where torch is missing says what to install; what a net reads loads without it."""
    code = "import sys; sys.modules['torch'] = None; from rai_bigmodel.nets import Reads; Reads(); "
    code += "print('reads'); from rai_bigmodel.nets import MLP"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=root)

    assert done.stdout == "reads\n"
    assert "MissingExtra" in done.stderr
    assert "pip install 'rai_bigmodel[train]'" in done.stderr


def test_without_opacus_privacy_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The accountant and the private step both say what to install."""
    for name in ("opacus", "opacus.accountants", "opacus.validators"):
        monkeypatch.setitem(sys.modules, name, None)
    privacy = accounting.Privacy(epsilon=3.3, delta=1e-5, sample_rate=0.1, expected_batch_size=10)
    with pytest.raises(MissingExtra, match=r"rai_bigmodel\[privacy\]"):
        accounting.noise_for(privacy, 10)
    with pytest.raises(MissingExtra, match=r"rai_bigmodel\[privacy\]"):
        private.refuse_obstacles(MLP().build(Reads(features=("a",), numbers={"a": Input()})))


def test_without_the_onnx_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Running a file needs onnxruntime, making one needs onnxscript."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"onnxruntime.*rai_bigmodel\[onnx\]"):
        session.open_session(b"", where="test")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtra, match=r"onnxscript.*rai_bigmodel\[onnx\]"):
        to_onnx.to_onnx(None)  # type: ignore[arg-type]
