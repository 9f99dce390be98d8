"""Is a run that was changed told from one that was not?"""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from dossiers import dossier, estimate

from rai_bigmodel import api, files
from rai_bigmodel.cli import cli
from rai_bigmodel.rules import Policy, Rule

POLICY = Policy(
    name="p",
    rules=(Rule(metric="fairness.gap", at_most=0.1, because="So."),),
)


def verify(*call: str) -> Any:
    return CliRunner().invoke(cli, ["verify", *call], standalone_mode=False)


@pytest.fixture(name="run")
def a_judged_run(tmp_path: Path) -> Path:
    """A failing run with its verdict and its page."""
    sealed = dossier(estimate(0.3))
    folder = api.save(sealed, tmp_path / "run")
    verdict = api.judge(sealed, POLICY, today=dt.date(2026, 11, 22))
    api.save_verdict(sealed, verdict, folder)
    api.write_report(sealed, verdict, path=folder / "report.html")
    return folder


def test_a_run_that_nobody_touched_holds_and_says_what_that_is_worth(run: Path) -> None:
    """Consistent in itself is no proof: the sentence says so, with what would be one."""
    result = verify(str(run))

    assert result.return_value == 0
    assert "no proof against someone who rewrote everything" in result.stdout
    assert "does not hold" not in result.stdout


def test_the_page_is_verified_with_its_folder_beside_it(run: Path) -> None:
    """``rai verify report.html`` is the same check."""
    assert verify(str(run / "report.html")).return_value == 0


@pytest.mark.parametrize("what", ["evidence", "verdict", "outcome", "policy", "page", "manifest"])
def test_each_thing_that_was_changed_is_named(run: Path, what: str) -> None:
    """Z37: a number, a ruling, a limit, a word of the page or the manifest: exit 1, and which."""
    if what == "evidence":
        path = run / "evidence" / "fairness.json"
        path.write_text(path.read_text().replace('"value":0.3', '"value":0.03'))
    elif what == "manifest":
        path = run / "manifest.json"
        path.write_text(path.read_text().replace('"threads":1', '"threads":2'))
    elif what == "page":
        path = run / "report.html"
        path.write_text(path.read_text().replace("not met", "met"))
    else:
        path = run / "verdict.json"
        said = json.loads(path.read_text())
        if what == "verdict":
            said["rulings"][0]["outcome"] = "pass"
        elif what == "outcome":
            said["outcome"] = "pass"
        else:
            said["policy"]["rules"][0]["at_most"] = 0.5
        path.write_bytes(files.canonical_json(said))
    result = verify(str(run))
    named = {"outcome": "verdict", "policy": "verdict", "manifest": "verdict"}.get(what, what)

    assert result.return_value == 1
    assert f"{named}: does not hold" in result.stdout


def test_rewriting_everything_is_found_by_a_digest_kept_elsewhere(run: Path) -> None:
    """All hashes made anew, the folder holds in itself; the digest noted before says otherwise."""
    noted = json.loads((run / "verdict.json").read_text())["manifest_digest"]
    forged = dossier(estimate(0.03))
    api.save(forged, run)
    verdict = api.judge(forged, POLICY)
    api.save_verdict(forged, verdict, run)
    api.write_report(forged, verdict, path=run / "report.html")

    assert verify(str(run)).return_value == 0
    found = verify(str(run), "--expect", noted)
    assert found.return_value == 1
    assert "expected digest: does not hold" in found.stdout


def test_the_digest_in_a_page_is_one_that_can_be_expected(run: Path) -> None:
    """``rai-manifest`` of a page sent by mail is enough, with or without its prefix; so is the run's."""
    text = (run / "report.html").read_text()
    for name in ("rai-manifest", "rai-run"):
        digest = re.search(rf'name="{name}" content="(sha256:[0-9a-f]{{64}})"', text)
        assert digest
        result = verify(str(run), "--expect", digest[1].removeprefix("sha256:"))
        assert result.return_value == 0
        assert "no proof" not in result.stdout


def test_a_page_written_after_more_runs_were_counted_is_still_the_verdicts(tmp_path: Path) -> None:
    """Evidence fetched without its ledger, judged, and shown after others used the same rows: nobody changed it."""
    folder = api.save(dossier(estimate(0.3)), tmp_path / "run")
    policy = tmp_path / "policy.yaml"
    policy.write_bytes(files.canonical_json(POLICY))
    call("gate", folder, "--policy", policy)
    other = dossier(estimate(0.31))
    api.record(other, api.save(other, tmp_path / "other"))
    call("report", folder, "--policy", policy)

    assert verify(str(folder)).return_value == 0
    page = (folder / "report.html").read_bytes()
    assert b'data-outcome="fail"' in page
    policy.write_bytes(files.canonical_json(Policy(name="p", rules=(*POLICY.rules, *POLICY.rules))))
    call("report", folder, "--policy", policy)
    assert "report.html is not what this evidence and verdict give" in verify(str(folder)).stdout


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (("nowhere",), "no manifest"),
        (("{run}", "--expect", "abc"), "64 hexadecimal"),
        (("{run}", "--expect", ""), "64 hexadecimal"),
        (("{run}", "--rerun"), "was not made from an audit.yaml"),
        (("{run}", "--audit", "audit.yaml"), "give both"),
    ],
)
def test_what_cannot_be_verified_is_one_line(run: Path, call: tuple[str, ...], says: str) -> None:
    """Nothing there, no digest, nothing to repeat: exit 2."""
    result = verify(*(part.replace("{run}", str(run)) for part in call))

    assert getattr(result.exception, "exit_code", None) == 2
    assert says in str(result.exception)


def asking(folder: Path, *audits: str) -> Path:
    """400 decisions in a table, and beside it an ``audit.yaml`` that asks about them."""
    folder.mkdir(exist_ok=True)
    rows = "".join(f"{i % 2},{i % 3 % 2},{'ab'[i % 2]}\n" for i in range(400))
    (folder / "p.csv").write_text("y,d,g\n" + rows)
    asked = folder / "audit.yaml"
    asked.write_text(
        "subject: {table: p.csv, prediction: d}\n"
        "data: {file: p.csv, truth: y, sensitive: [g]}\n"
        f"audits: {{{', '.join(f'{audit}: {{}}' for audit in audits)}}}\n"
    )
    return asked


def test_a_rerun_repeats_the_audits_and_finds_forged_evidence(tmp_path: Path) -> None:
    """Forged and rehashed evidence of a table of predictions: only repeating the audits tells."""
    folder = tmp_path / "run"
    asking(folder, "performance", "fairness")
    api.save(api.audit_file(folder / "audit.yaml"), folder)
    honest = verify(str(folder), "--rerun")
    sealed = api.load(folder)
    raw = json.loads(files.canonical_json(sealed).decode())
    changed = raw["evidence"][0]["measurements"][0]
    changed["value"] = 0.123
    path = folder / "evidence" / sealed.manifest.names[0]
    path.write_bytes(files.canonical_json(raw["evidence"][0]))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["evidence"]["files"][path.name] = files.digest(path.read_bytes())
    (folder / "manifest.json").write_bytes(files.canonical_json(manifest))

    assert honest.return_value == 0
    assert "byte for byte" in honest.stdout
    assert verify(str(folder)).return_value == 0
    found = verify(str(folder), "--rerun")
    assert found.return_value == 1
    assert path.name in found.stdout


def test_a_rerun_finds_audits_that_were_left_out_and_says_so(tmp_path: Path) -> None:
    """By --only, or by somebody who takes a piece out of the folder, out of the manifest, and says it was not asked."""
    asked, some, whole = asking(tmp_path, "performance", "fairness"), tmp_path / "some", tmp_path / "whole"
    assert call("audit", asked, "--only", "performance", "--out", some).return_value == 0
    assert call("audit", asked, "--out", whole).return_value == 0
    manifest = json.loads((whole / "manifest.json").read_text())
    del manifest["evidence"]["files"]["fairness.json"]
    manifest["evidence"]["not_run"]["fairness"] = "it was not asked for"
    (whole / "evidence" / "fairness.json").unlink()
    (whole / "manifest.json").write_bytes(files.canonical_json(manifest))

    for folder in (some, whole):
        assert verify(str(folder)).return_value == 0
        found = verify(str(folder), "--rerun", "--audit", str(asked))
        assert found.return_value == 1
        assert "1 of 2 came out otherwise: fairness.json; of 1 there is no evidence" in found.stdout


def test_a_rerun_is_told_where_the_file_lies_and_takes_no_other(tmp_path: Path) -> None:
    """Evidence written elsewhere: --audit names the file, by any name, and its digest must be the manifest's."""
    asked = asking(tmp_path, "performance").rename(tmp_path / "asked.yaml")
    assert call("audit", asked, "--out", tmp_path / "out").return_value == 0
    folder = str(tmp_path / "out")
    nowhere, honest = verify(folder, "--rerun"), verify(folder, "--rerun", "--audit", str(asked))
    asked.write_text(asked.read_text() + "seed: 8\n")
    other = verify(folder, "--rerun", "--audit", str(asked))
    gone = verify(folder, "--rerun", "--audit", str(tmp_path / "gone.yaml"))

    assert honest.return_value == 0
    assert "byte for byte" in honest.stdout
    for found, says in (
        (nowhere, "--audit FILE says where it is"),
        (other, "is not the file that these audits were made from"),
        (gone, "gone.yaml"),
    ):
        assert getattr(found.exception, "exit_code", None) == 2
        assert says in str(found.exception)


@pytest.fixture(name="keys")
def a_pair_of_keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private key and its public half."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    paths = tmp_path / "private.pem", tmp_path / "public.pem"
    paths[0].write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    paths[1].write_bytes(
        private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return paths


def call(*parts: Any) -> Any:
    return CliRunner().invoke(cli, [str(p) for p in parts], standalone_mode=False)


def test_a_signature_tells_every_forgery_that_digests_alone_do_not(
    run: Path, keys: tuple[Path, Path]
) -> None:
    """Z37 with a key: everything rewritten and rehashed still is not what the owner signed."""
    private, public = keys
    unsigned = call("verify", run, "--key", public)
    call("sign", run, "--key", private)
    signed = call("verify", run, "--key", public)
    kept = (run / "signature.json").read_bytes()
    api.save(dossier(estimate(0.03)), run)
    (run / "signature.json").write_bytes(kept)
    forged = call("verify", run, "--key", public)

    assert (unsigned.return_value, signed.return_value, forged.return_value) == (1, 0, 1)
    assert "no proof" not in signed.stdout
    assert "the signature does not belong to this manifest" in forged.stdout


def test_another_persons_key_is_told_apart(run: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    """Signed, but by somebody else: exit 1, both fingerprints."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    other = tmp_path / "other.pem"
    other.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    call("sign", run, "--key", other)
    result = call("verify", run, "--key", keys[1])

    assert result.return_value == 1
    assert "signed with another key" in result.stdout


@pytest.mark.parametrize("wrong", ["rsa", "p384", "text", "public"])
def test_a_key_of_another_kind_is_one_line(
    run: Path, keys: tuple[Path, Path], tmp_path: Path, wrong: str
) -> None:
    """RSA, another curve, no key at all, or the public half where the private one is needed: exit 2."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    path = tmp_path / "wrong.pem"
    if wrong == "text":
        path.write_text("not a key")
    elif wrong == "public":
        path = keys[1]
    else:
        key = (
            rsa.generate_private_key(65537, 2048)
            if wrong == "rsa"
            else ec.generate_private_key(ec.SECP384R1())
        )
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    result = call("sign", run, "--key", path)

    assert getattr(result.exception, "exit_code", None) == 2
    assert not (run / "signature.json").exists()


def test_audits_repeated_with_other_threads_are_no_forgery() -> None:
    """Last digits depend on how many threads add up: one line says with how many to repeat them."""
    from rai_bigmodel.errors import InputError
    from rai_bigmodel.verify import Checked, repeated

    one, two = dossier(estimate(0.3)), dossier(estimate(0.3 + 1e-12), threads=2)
    with pytest.raises(InputError, match="set OMP_NUM_THREADS=1 and verify again"):
        repeated(Checked("run", (), one), two)
    same = repeated(Checked("run", (), one), dossier(estimate(0.3), threads=2))

    assert same.holds


@pytest.fixture(name="shipped")
def a_run_of_a_file(tmp_path: Path) -> tuple[Path, Path]:
    """Evidence of an ONNX file, and the file."""
    sample = Path(__file__).parents[1] / "reports" / "samples" / "demo"
    shutil.copytree(sample, tmp_path / "demo")
    return tmp_path / "demo", tmp_path / "demo" / "model.onnx"


@pytest.mark.smoke
def test_a_model_is_signed_with_the_key_of_its_run(
    shipped: tuple[Path, Path], keys: tuple[Path, Path], tmp_path: Path
) -> None:
    """What we write is checked by model-signing itself; one byte more and it is not that model."""
    from model_signing.verifying import Config

    folder, model = shipped
    told = call("sign", folder, "--key", keys[0], "--model", model)
    check = Config().use_elliptic_key_verifier(public_key=keys[1])

    assert told.return_value == 0
    check.verify(model, model.with_name("model.onnx.sig"))
    with model.open("ab") as file:
        file.write(b" ")
    with pytest.raises(ValueError, match="mismatch"):
        check.verify(model, model.with_name("model.onnx.sig"))


def test_only_a_model_that_the_evidence_is_about_is_signed(
    shipped: tuple[Path, Path], keys: tuple[Path, Path], tmp_path: Path
) -> None:
    """Another one would lend its evidence to what nobody audited; nothing is signed then."""
    _, model = shipped
    api.save(dossier(estimate(0.03)), tmp_path / "other")
    told = call("sign", tmp_path / "other", "--key", keys[0], "--model", model)

    assert getattr(told.exception, "exit_code", None) == 2
    assert "is not about this model" in str(told.exception)
    assert not (tmp_path / "other" / "signature.json").exists()
    assert not model.with_name("model.onnx.sig").exists()


def test_without_model_signing_the_extra_is_named(
    shipped: tuple[Path, Path], keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which package is missing, and what brings it."""
    monkeypatch.setitem(sys.modules, "model_signing.signing", None)
    told = call("sign", shipped[0], "--key", keys[0], "--model", shipped[1])

    assert getattr(told.exception, "exit_code", None) == 2
    assert "pip install 'rai_bigmodel[sign-model]'" in str(told.exception)
    assert not (shipped[0] / "signature.json").exists()


def test_a_model_whose_weights_lie_beside_it_is_known_by_all_of_them(
    shipped: tuple[Path, Path], tmp_path: Path
) -> None:
    """The digest of its subject speaks of every file; one weight more is another model."""
    import onnx

    from rai_bigmodel.evidence import SubjectId
    from rai_bigmodel.subjects.of_onnx import of_onnx

    apart = tmp_path / "run" / "model.onnx"
    apart.parent.mkdir()
    onnx.save_model(
        onnx.load_model_from_string(shipped[1].read_bytes()),
        apart,
        save_as_external_data=True,
        location="model.onnx.data",
        size_threshold=0,
    )
    subject = of_onnx(apart)
    named = SubjectId(name="m", kind="onnx", digest=subject.digest, role="onnx", decision=subject.decision)
    api.save(dossier(estimate(0.03), subjects=(named,)), apart.parent)
    honest = verify(str(apart.parent))
    weights = apart.with_name("model.onnx.data")
    weights.write_bytes(bytes([weights.read_bytes()[0] ^ 1]) + weights.read_bytes()[1:])
    changed = verify(str(apart.parent))

    assert honest.return_value == 0, honest.stdout
    assert "is the onnx subject" in honest.stdout
    assert changed.return_value == 1
    assert "which the manifest does not name" in changed.stdout
