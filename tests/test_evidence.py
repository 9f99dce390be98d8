"""Is evidence read as it was written, and refused when it was not?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dossiers import ROWS, SUBJECT, dossier, estimate, evidence, exact, interval, ladder
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_bigmodel import files
from rai_bigmodel.dossier import Circumstances, Dossier, Manifest, Produced, file_name, load, save, seal
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import (
    LADDER,
    Bars,
    Curve,
    DataId,
    Decision,
    Dot,
    Dots,
    Evidence,
    Findings,
    Heatmap,
    Interval,
    Line,
    Measurement,
    Picture,
    SubjectId,
    Table,
)

TEXT = st.text(max_size=12)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
MAYBE = st.none() | NUMBER


@st.composite
def intervals(draw: Any, *, bound: bool = False) -> Interval:
    """Nested by construction, with rungs left out and sides null."""
    value, error = draw(st.floats(-10, 10)), draw(st.floats(0, 2))
    low, high = draw(st.sampled_from([(True, True), (True, False), (False, True)]))
    if bound and low and high:
        low = False
    rungs = ladder(value, error, low=low, high=high)
    kept = tuple(r for r in rungs if draw(st.booleans()))
    at = next(r for r in rungs if r[0] == 0.05)
    return Interval(low=at[1], high=at[2], level=0.95, method=draw(TEXT), ladder=kept)


@st.composite
def measurements(draw: Any) -> Measurement:
    """Of every kind, with and without a value."""
    kind = draw(st.sampled_from(["estimate", "bound", "exact", "p_value", "clock"]))
    value = draw(MAYBE)
    spread = None
    if kind not in {"exact", "p_value"} and draw(st.booleans()):
        spread = draw(intervals(bound=kind == "bound"))
    return Measurement(
        metric=f"made.{draw(st.sampled_from(['up', 'gap_2', 'deeper.still']))}",
        kind=kind,
        value=value,
        n=draw(st.none() | st.integers(0, 10**9)),
        excluded=draw(st.floats(0, 1)),
        labels=draw(st.dictionaries(TEXT, TEXT, max_size=3)),
        origin=draw(st.sampled_from(["measured", "declared"])),
        why=draw(TEXT) if value is not None else "because",
        interval=spread,
    )


DOTS = st.lists(
    st.builds(Dot, label=TEXT, value=MAYBE, low=MAYBE, high=MAYBE, n=st.none() | st.integers(0, 9))
)
EXHIBITS = st.one_of(
    st.builds(Dots, title=TEXT, dots=DOTS.map(tuple), caption=TEXT),
    st.builds(Bars, title=TEXT, bars=DOTS.map(tuple), unit=st.sampled_from(["", "share"])),
    st.builds(Curve, title=TEXT, lines=st.just((Line(label="a", x=(0.0, 1.0), y=(0.5, 0.25)),)), mark=MAYBE),
    st.just(Heatmap(title="h", rows=("a",), columns=("b", "c"), values=((None, 1.0),))),
    st.builds(Table, title=TEXT, columns=st.just(("a", "b")), rows=st.tuples(st.tuples(TEXT, NUMBER))),
    st.builds(
        Picture, title=TEXT, alt=TEXT, png=st.binary(max_size=9).map(lambda b: b"\x89PNG\r\n\x1a\n" + b)
    ),
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | NUMBER | TEXT,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(TEXT, inside, max_size=3),
    max_leaves=6,
)
EVIDENCE = st.builds(
    Evidence,
    audit=st.just("made"),
    question=TEXT,
    params=st.dictionaries(TEXT, PLAIN, max_size=3),
    seed=st.integers(0, 2**31),
    tool=TEXT,
    subject=st.builds(
        SubjectId,
        name=TEXT,
        kind=TEXT,
        digest=TEXT,
        role=st.sampled_from(["primary", "plain"]),
        decision=st.none()
        | st.builds(
            Decision,
            kind=st.sampled_from(["threshold", "argmax"]),
            threshold=MAYBE,
            positive=TEXT,
            labels=st.lists(TEXT, max_size=3).map(tuple),
        ),
    ),
    data=st.builds(DataId, name=TEXT, digest=TEXT, rows=st.integers(0, 10**9)),
    measurements=st.lists(measurements(), max_size=4).map(tuple),
    exhibits=st.lists(EXHIBITS, max_size=3).map(tuple),
    notes=st.lists(TEXT, max_size=2).map(tuple),
    failure=TEXT,
)


@settings(max_examples=100, deadline=None)
@given(EVIDENCE)
def test_evidence_written_and_read_is_equal(made: Evidence) -> None:
    """And written again it has the same bytes."""
    text = files.canonical_json(made)
    back = files.parse_json(text, Evidence, where="e")

    assert back == made
    assert files.canonical_json(back) == text
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in the file"))


@settings(max_examples=20, deadline=None)
@given(st.lists(EVIDENCE, min_size=1, max_size=3))
def test_a_dossier_saved_and_loaded_is_equal(made: list[Evidence]) -> None:
    """Through a folder, with its manifest."""
    import tempfile

    named = [(file_name(e.audit, label=f"n{i}", clock=i == 2), e) for i, e in enumerate(made)]
    sealed = seal(
        named,
        produced={"subjects": (SUBJECT,), "data": (ROWS,), "configuration": {}, "versions": {}, "threads": 1},
        created="2026-11-20T10:00:00+00:00",
        host="h",
        tool="t",
    )
    with tempfile.TemporaryDirectory() as folder:
        save(sealed, folder)

        assert load(folder) == sealed
        assert files.digest(Path(folder, "manifest.json").read_bytes()) == sealed.manifest.digest


# --- the folder -----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound folder of evidence."""
    made = dossier(evidence(estimate(0.05)), evidence(exact(3.9)), evidence(estimate(0.1), role="plain"))
    return save(made, tmp_path / "run")


def said(folder: Path) -> str:
    with pytest.raises(InputError) as error:
        load(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_sound_folder_is_read(folder: Path) -> None:
    """Evidence of the primary and of a relative, each found by its role."""
    made = load(folder)

    assert made.find("fairness")[0].measurements[0].value == 0.05
    assert made.find("fairness", "plain")[0].measurements[0].value == 0.1
    assert made.find("privacy", "plain") == ()
    assert made.manifest.primary == SUBJECT


def test_evidence_edited_by_hand_is_refused(folder: Path) -> None:
    """One digit is enough."""
    path = folder / "evidence" / "fairness.json"
    path.write_bytes(path.read_bytes().replace(b'"value":0.05', b'"value":0.01'))

    assert "was changed after the audit" in said(folder)


@pytest.mark.parametrize("name", ["extra.json", "notes.txt", ".DS_Store", "a\n[PASS] gate.json"])
def test_a_file_that_the_manifest_does_not_name_is_refused(folder: Path, name: str) -> None:
    """Whatever it is called; its name cannot write a line of its own."""
    (folder / "evidence" / name).write_text("{}")

    assert "does not name this file" in said(folder)


def test_a_file_that_is_gone_is_missed(folder: Path) -> None:
    """Leaving out bad news is noticed."""
    (folder / "evidence" / "fairness.json").unlink()

    assert "'fairness.json' is not there" in said(folder)


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_what_is_not_a_plain_file_is_refused(folder: Path, kind: str) -> None:
    """A link to a good file may lead elsewhere tomorrow."""
    path = folder / "evidence" / "fairness.json"
    if kind == "link":
        path.rename(folder / "elsewhere.json")
        path.symlink_to(folder / "elsewhere.json")
    else:
        path.unlink()
        path.mkdir()

    assert "not a plain file" in said(folder)


def test_a_folder_without_manifest_is_unfinished(folder: Path) -> None:
    """The manifest is written last."""
    (folder / "manifest.json").unlink()

    assert "no manifest.json" in said(folder)


def test_an_empty_folder_a_file_and_nothing_at_all_are_no_evidence(tmp_path: Path) -> None:
    """Each in one line."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    for name in ("empty", "file", "gone"):
        assert str(tmp_path / name) in said(tmp_path / name)


def test_a_manifest_that_names_nothing_is_no_evidence(folder: Path) -> None:
    """An empty folder of evidence proves nothing, in good order or not."""
    nothing = Manifest(
        tool="t",
        evidence=Produced(files={}, subjects=(), data=(), configuration={}, versions={}, threads=1),
        circumstances=Circumstances(created="", host=""),
    )
    (folder / "manifest.json").write_bytes(files.canonical_json(nothing))

    assert "no evidence" in said(folder)


def test_a_manifest_cannot_name_a_file_outside_its_folder(folder: Path) -> None:
    """``../x.json`` with a right digest is not evidence of this folder."""
    outside = folder / "outside.json"
    outside.write_bytes((folder / "evidence" / "fairness.json").read_bytes())
    manifest = json.loads((folder / "manifest.json").read_text())
    named = manifest["evidence"]["files"]
    named["../outside.json"] = named["fairness.json"]
    (folder / "manifest.json").write_text(json.dumps(manifest))

    assert "is not there" in said(folder)


def test_a_format_of_the_future_is_refused(folder: Path) -> None:
    """A reader takes its own and older ones."""
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"format":1', '"format":2'))

    assert "format 2" in said(folder)


def test_two_manifest_entries_of_one_name_are_refused(folder: Path) -> None:
    """A file cannot be reproducible and a clock at once."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["circumstances"]["clocks"] = dict(manifest["evidence"]["files"])
    (folder / "manifest.json").write_text(json.dumps(manifest))

    assert "twice" in said(folder)


def test_a_dossier_has_one_primary_subject() -> None:
    """The one that may ship; two of them would let the better answer for both."""
    other = SubjectId(name="other", kind="torch", digest="sha256:" + "b" * 64)
    with pytest.raises(ValueError, match="one primary"):
        dossier(estimate(0.1), subjects=(SUBJECT, other))


def test_saving_again_replaces_what_an_earlier_run_left(folder: Path) -> None:
    """Evidence, verdict and page of the run before are gone, also files it had and this one has not."""
    for name in ("verdict.json", "report.html"):
        (folder / name).write_text("old")
    (folder / "keep.txt").write_text("mine")
    made = dossier(estimate(0.2))
    save(made, folder)

    assert load(folder) == made
    assert sorted(p.name for p in folder.iterdir()) == ["evidence", "keep.txt", "manifest.json"]


def test_saving_into_a_folder_with_foreign_evidence_is_refused_and_changes_nothing(folder: Path) -> None:
    """Someone's own files are not thrown away."""
    before = load(folder)
    (folder / "evidence" / "mine.json").write_text("{}")
    with pytest.raises(InputError, match=r"mine\.json"):
        save(dossier(estimate(0.2)), folder)
    (folder / "evidence" / "mine.json").unlink()

    assert load(folder) == before


def test_a_save_that_breaks_leaves_nothing_that_looks_finished(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between two files: the folder is refused, not read in part."""
    real, calls = files.write_bytes, []

    def breaking(path: Path, content: bytes) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(path, content)

    monkeypatch.setattr(files, "write_bytes", breaking)
    with pytest.raises(KeyboardInterrupt):
        save(dossier(estimate(0.2), exact(1.0)), folder)

    assert "no manifest.json" in said(folder)


def test_clocks_are_kept_out_of_the_digest_of_the_run() -> None:
    """Two runs of the same differ in their times and have one name."""

    def run(milliseconds: float, created: str) -> Manifest:
        clock = Measurement(metric="deployment.latency_ms", kind="clock", value=milliseconds)
        found = [("fairness.json", evidence(estimate(0.1))), ("deployment-clock.json", evidence(clock))]
        produced = {
            "subjects": (SUBJECT,),
            "data": (ROWS,),
            "configuration": {},
            "versions": {},
            "threads": 1,
        }
        return seal(found, produced=produced, created=created, host="h", tool="t").manifest

    one, other = run(1.0, "2026-11-20"), run(2.0, "2026-11-21")

    assert one.run == other.run
    assert one.digest != other.digest


def test_evidence_with_one_name_is_not_sealed_twice() -> None:
    """The second would silently replace the first."""
    with pytest.raises(AssertionError, match=r"fairness\.json"):
        seal(
            [("fairness.json", evidence(estimate(0.1))), ("fairness.json", evidence(estimate(0.5)))],
            produced={"subjects": (), "data": (), "configuration": {}, "versions": {}, "threads": 1},
            created="",
            host="",
            tool="",
        )


def test_file_names_are_those_of_the_contract() -> None:
    """``<audit>[@role][-label].json``, and ``-clock`` for timings alone."""
    assert file_name("fairness") == "fairness.json"
    assert file_name("fairness", role="plain", label="age") == "fairness@plain-age.json"
    assert file_name("deployment", clock=True) == "deployment-clock.json"
    assert file_name("../../etc/x").startswith("etc-x-")
    assert not file_name("fairness", label="clock").endswith("-clock.json")


# --- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"value": float("nan")}, "finite"),
        ({"value": float("inf")}, "finite"),
        ({"value": None}, "needs a why"),
        ({"metric": "gap"}, "audit.name"),
        ({"metric": "Fairness.gap"}, "audit.name"),
        ({"metric": "fairness.gap "}, "audit.name"),
        ({"metric": "fairness.gap\n"}, "audit.name"),
        ({"excluded": 1.5}, "share"),
        ({"excluded": -0.1}, "share"),
        ({"n": -1}, "negative"),
        ({"kind": "exact", "interval": interval(0.1, 0.01)}, "no interval"),
        ({"kind": "p_value", "interval": interval(0.1, 0.01)}, "no interval"),
        ({"kind": "bound", "interval": interval(0.1, 0.01)}, "one side null"),
    ],
)
def test_a_measurement_that_means_nothing_is_refused(fields: dict[str, Any], why: str) -> None:
    """NaN, null without a reason, names that are none, shares beyond 1."""
    with pytest.raises(ValueError, match=why):
        Measurement(**{"metric": "fairness.gap", "kind": "estimate", "value": 0.1, **fields})


def test_a_null_in_a_file_needs_its_why_too(folder: Path) -> None:
    """An edited file with a right digest is held to the same rules."""
    path = folder / "evidence" / "fairness.json"
    edited = json.loads(path.read_text())
    edited["measurements"][0].update(value=None, why="")
    content = json.dumps(edited).encode()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["evidence"]["files"]["fairness.json"] = files.digest(content)
    path.write_bytes(content)
    (folder / "manifest.json").write_text(json.dumps(manifest))

    assert "needs a why" in said(folder)
    assert "$.measurements[0]" in said(folder)


@pytest.mark.parametrize("metric", ["privacy.gap", "fairnessly.gap", "fairnes.gap"])
def test_an_audit_gives_only_metrics_of_its_own_name(metric: str) -> None:
    """A plugin cannot speak for another audit."""
    with pytest.raises(ValueError, match="may only give"):
        evidence(estimate(0.1, metric=metric), audit="fairness")


WIDE, NARROW = (0.05, -1.0, 1.0, -0.9, 0.9), (0.01, -0.5, 0.5, -0.95, 0.95)


@pytest.mark.parametrize(
    ("rungs", "level", "ends"),
    [
        ((WIDE, NARROW), 0.9, (-0.9, 0.9)),  # two-sided narrower at a smaller α
        ((WIDE, (0.01, -2.0, 2.0, -0.5, 0.95)), 0.9, (-0.9, 0.9)),  # a keep bound nearer at a smaller α
        ((WIDE, (0.01, -2.0, 2.0, -0.95, 0.5)), 0.9, (-0.9, 0.9)),
        ((WIDE, (0.01, None, 2.0, None, 0.95), (0.005, -3.0, 3.0, None, 1.0)), 0.9, (-0.9, 0.9)),
        ((WIDE,), 0.95, (-0.5, 0.5)),  # the interval is not the rung of its level
        ((WIDE,), 0.99, (-0.5, 0.5)),  # the interval is narrower than a rung of less confidence
        ((WIDE,), 0.8, (-5.0, 5.0)),
        (((0.05, 1.0, -1.0, 0.9, -0.9),), 0.9, (0.0, 0.0)),  # low above high
        (((0.03, -1.0, 1.0, -0.9, 0.9),), 0.9, (-0.9, 0.9)),  # no rung
        ((NARROW, WIDE), 0.9, (-0.9, 0.9)),  # not in order
        ((WIDE, WIDE), 0.9, (-0.9, 0.9)),  # twice
    ],
)
def test_intervals_that_are_not_nested_are_refused(
    rungs: tuple[Any, ...], level: float, ends: tuple[float, float]
) -> None:
    """More confidence never means a narrower interval, on either pair of a rung."""
    with pytest.raises(ValueError, match=r"nested|differ|ladder|above its high"):
        Interval(low=ends[0], high=ends[1], level=level, method="m", ladder=rungs)


def test_an_unbounded_interval_is_nested_in_itself() -> None:
    """A null below and above, on every rung."""
    rungs = tuple((a, None, None, None, None) for a in LADDER)

    assert Interval(low=None, high=None, level=0.95, method="m", ladder=rungs).rung(0.05) == rungs[2]


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, -0.1])
def test_a_level_lies_between_0_and_1(level: float) -> None:
    """95 is not 0.95."""
    with pytest.raises(ValueError, match="level"):
        Interval(low=0.0, high=1.0, level=level, method="m")


def test_the_evidence_file_of_the_contract_is_read() -> None:
    """Word for word, but for its ellipses."""
    text = """
    {"format": 1, "audit": "fairness", "question": "Do decisions differ between groups?", "params": {}, "seed": 0,
     "tool": "rai_bigmodel 0.1.0", "failure": "", "notes": [], "exhibits": [],
     "subject": {"name": "loan-mlp", "kind": "torch", "digest": "sha256:0", "role": "primary",
                 "decision": {"kind": "threshold", "threshold": 0.5, "positive": "1", "labels": ["0", "1"]}},
     "data": {"name": "loanapp held-out", "digest": "sha256:1", "rows": 796},
     "measurements": [
       {"metric": "fairness.demographic_parity_difference", "kind": "estimate", "value": 0.197, "n": 752,
        "excluded": 0.0,
        "labels": {"attribute": "race", "scope": "sized", "high": "White", "low": "Black"},
        "origin": "measured", "why": "",
        "interval": {"low": 0.087, "high": 0.330, "level": 0.95, "method": "tukey-newcombe",
                     "ladder": [[0.2, 0.113, 0.293, 0.113, 0.243]]}}]}"""
    read = files.parse_json(text.encode(), Evidence, where="contract")

    assert set(json.loads(files.canonical_json(read))) == set(json.loads(text))


def test_findings_default_to_nothing_said() -> None:
    """Exhibits and notes are optional."""
    assert Findings(measurements=()) == Findings(measurements=(), exhibits=(), notes=())


@pytest.mark.parametrize(
    "make",
    [
        lambda: Line(label="a", x=(1.0,), y=()),
        lambda: Line(label="a", x=(), y=()),
        lambda: Line(label="a", x=(1.0,), y=(float("nan"),)),
        lambda: Heatmap(title="h", rows=("a",), columns=("b",), values=((1.0, 2.0),)),
        lambda: Heatmap(title="h", rows=("a", "b"), columns=("b",), values=((1.0,),)),
        lambda: Table(title="t", columns=("a",), rows=((1, 2),)),
        lambda: Picture(title="p", png=b"<svg onload=alert(1)>", alt="x"),
        lambda: Dot(label="a", value=float("inf")),
    ],
)
def test_an_exhibit_that_cannot_be_drawn_is_refused(make: Any) -> None:
    """Lines of two lengths, ragged grids, a picture that is none."""
    with pytest.raises(ValueError, match=r".+"):
        make()


def test_a_dossier_is_a_record() -> None:
    """It can be written as a whole, for a program that wants one file."""
    made = dossier(estimate(0.1))

    assert files.parse_json(files.canonical_json(made), Dossier, where="d") == made
