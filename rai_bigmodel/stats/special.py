"""Where do the special functions come from? SciPy's compiled ones, without what importing their package loads.

``import scipy.special`` takes 0.3 s, nearly all of it for copies of NumPy's namespace that let its functions take
arrays of other libraries. A whole audit of a million rows takes little more than a second, so the compiled functions
are loaded by themselves; a SciPy that is laid out otherwise gives them through its package.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

_NAME = "scipy.special"


def _compiled() -> Any:
    """SciPy's ufuncs: from the package if it is loaded already, else from its compiled part alone."""
    if _NAME in sys.modules:
        return sys.modules[_NAME]
    import importlib.util
    from types import ModuleType

    spec = importlib.util.find_spec(_NAME)
    # The compiled part asks for its package only to find its neighbours, which an empty one with the same path shows.
    package = ModuleType(_NAME)
    package.__path__ = list(spec.submodule_search_locations or ()) if spec else []
    sys.modules[_NAME] = package
    try:
        return importlib.import_module(f"{_NAME}._ufuncs")
    except ImportError:
        return None
    finally:
        # Whoever imports scipy.special from here on gets all of it.
        if sys.modules.get(_NAME) is package:
            del sys.modules[_NAME]


_ufuncs = _compiled() or importlib.import_module(_NAME)

bdtr = _ufuncs.bdtr
betaincinv = _ufuncs.betaincinv
chdtrc = _ufuncs.chdtrc
chdtri = _ufuncs.chdtri
chndtr = _ufuncs.chndtr
expit = _ufuncs.expit
gammaln = _ufuncs.gammaln
logit = _ufuncs.logit
ndtr = _ufuncs.ndtr
ndtri = _ufuncs.ndtri
stdtrit = _ufuncs.stdtrit
