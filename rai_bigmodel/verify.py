"""Does a run still hold? Every digest, the verdict and the page are worked out anew and compared.

That a folder is consistent in itself is no proof against somebody who rewrote everything in it. For that a digest
must be known from elsewhere (`expect`), or the audits be repeated on the saved subject and rows (`repeated`).
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rai_bigmodel import dossier as folders
from rai_bigmodel import files, policy, signing, statements, verdicts
from rai_bigmodel.errors import InputError
from rai_bigmodel.words import plural

if TYPE_CHECKING:
    import os
    from collections.abc import Collection

    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.rules import Verdict

PAGE = "report.html"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: whether it holds, in words; `holds` is null where it could not be checked."""

    what: str
    holds: bool | None
    words: str


@dataclass(frozen=True)
class Checked:
    """All that was looked at in a folder, and what the result does and does not show."""

    folder: str
    checks: tuple[Check, ...]
    dossier: Dossier | None = None
    against: str = ""

    @property
    def holds(self) -> bool:
        """Whether nothing that was checked is wrong."""
        return all(check.holds is not False for check in self.checks)

    @property
    def headline(self) -> str:
        """The result in one sentence."""
        if not self.holds:
            wrong = sum(check.holds is False for check in self.checks)
            return f"{self.folder} does not hold: {wrong} of {len(self.checks)} checks fail."
        if self.against:
            return f"{self.folder} holds, {self.against}."
        return (
            f"{self.folder} is consistent in itself. That is no proof against someone who rewrote everything: "
            "compare with a digest kept elsewhere (--expect), check a signature (--key) or repeat the audits (--rerun)."
        )


def check(
    path: str | os.PathLike[str], *, expect: str | None = None, key: str | os.PathLike[str] | None = None
) -> Checked:
    """Work out every digest, the verdict and the page of a run anew.

    Args:
        path: a folder of evidence, or a page with its folder beside it.
        expect: the digest of the manifest or of the run, with or without ``sha256:``.
        key: the public key that must have signed the manifest.

    Raises:
        InputError: there is no manifest, what is expected is no digest, or the key is none.
        MissingExtra: a key is given and cryptography is not installed.
    """
    folder = Path(path)
    page = None
    if folder.is_file():
        page, folder = folder, folder.parent
    elif (folder / PAGE).exists():
        page = folder / PAGE
    if expect is not None:
        expect = f"sha256:{expect.removeprefix('sha256:').lower()}"
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", expect):
            msg = f"--expect: 64 hexadecimal digits are needed, got {expect.removeprefix('sha256:')!r}"
            raise InputError(msg)
    if not (folder / "manifest.json").exists():
        msg = f"{folder}: no manifest.json, so there is nothing to verify"
        raise InputError(msg)
    try:
        dossier = folders.load(folder)
    except InputError as error:
        return Checked(str(folder), (Check("evidence", holds=False, words=str(error)),))
    count = len(dossier.evidence)
    checks = [Check("evidence", holds=True, words=f"{count} files have the digests in manifest.json")]
    verdict = None
    if (folder / verdicts.NAME).exists():
        try:
            verdict, found = _verdict(folder, dossier)
        except InputError as error:
            found = Check("verdict", holds=False, words=str(error))
        checks.append(found)
    checks += _subjects(folder, dossier)
    if page is not None:
        checks.append(_page(page, dossier, verdict, folder))
    against = ""
    if expect:
        known = {dossier.manifest.digest: "the manifest", dossier.manifest.run: "the run"}
        named = known.get(expect, "")
        words = (
            f"{named} has it"
            if named
            else f"the manifest is {dossier.manifest.digest}, the run {dossier.manifest.run}"
        )
        checks.append(Check("expected digest", holds=bool(named), words=words))
        against = f"and {named} is the one expected" if named else ""
    if key is not None:
        wrong = signing.refusal(folder, key)
        words = wrong or "the manifest is the one that the owner of this key signed"
        checks.append(Check("signature", holds=not wrong, words=words))
        against = against or "and the owner of the key signed it"
    return Checked(str(folder), tuple(checks), dossier, against)


def repeated(checked: Checked, again: Dossier) -> Checked:
    """The result with the audits repeated: every piece of evidence that came out otherwise is named.

    Raises:
        InputError: they were repeated with another number of threads, and came out otherwise.
    """
    assert checked.dossier is not None
    before, after = checked.dossier.manifest.evidence.files, again.manifest.evidence.files
    other = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    made, now = checked.dossier.manifest.evidence.threads, again.manifest.evidence.threads
    if other and made != now:
        msg = (
            f"these audits were made with {plural(made, 'thread')} and repeated with {now}, on which last digits "
            f"depend: set OMP_NUM_THREADS={made} and verify again"
        )
        raise InputError(msg)
    versions = checked.dossier.manifest.evidence.versions != again.manifest.evidence.versions
    if other:
        hint = "; other versions made them, which may be why" if versions else ""
        words = f"{len(other)} of {len(before | after)} came out otherwise: {', '.join(other[:6])}{hint}"
        if left := len(after.keys() - before.keys()):
            words += (
                f"; of {left} there is no evidence, though the audit file asks for it: it was made with --only, or "
                "somebody left it out"
            )
    else:
        words = f"all {len(before)} pieces of evidence came out the same, byte for byte"
    found = Check("audits repeated", holds=not other, words=words)
    against = "" if other else "and its audits give the same evidence when repeated"
    return replace(checked, checks=(*checked.checks, found), against=against)


def _verdict(folder: Path, dossier: Dossier) -> tuple[Verdict | None, Check]:
    """The verdict of the recorded policy, waivers and day, and whether the file says the same."""
    path = folder / verdicts.NAME
    said = files.parse_json(files.read_bytes(path), verdicts.VerdictFile, where=str(path))
    try:
        day = dt.date.fromisoformat(said.judged_on)
    except ValueError:
        msg = f"{path}: $.judged_on must be a day, got {said.judged_on!r}"
        raise InputError(msg) from None
    if said.baseline:
        words = f"it was judged beside another run ({said.baseline[:19]}…), which is not here"
        return None, Check("verdict", holds=None, words=words)
    verdict = policy.judge(
        said.policy,
        dossier,
        today=day,
        waivers=said.waivers,
        subject=said.pinned,
        attempts=said.attempts,
    )
    again = verdicts.verdict_file(dossier, verdict)
    if again == said:
        return verdict, Check("verdict", holds=True, words=f"judged again: {verdict.headline}")
    wrong = [name for name in said.__struct_fields__ if getattr(said, name) != getattr(again, name)]
    words = f"judged again it differs in {', '.join(wrong)}; from this evidence: {verdict.headline}"
    return verdict, Check("verdict", holds=False, words=words)


def _page(path: Path, dossier: Dossier, verdict: Verdict | None, folder: Path) -> Check:
    """Whether the page is, byte for byte, what this evidence and verdict give, with or without statements."""
    from functools import partial

    from rai_bigmodel.report.html import render as rendered
    from rai_bigmodel.report.language import language_of

    content = files.read_bytes(path)
    render = partial(rendered, lang=language_of(content))
    if (folder / statements.NAME).exists():
        try:
            said = statements.read(folder / statements.NAME)
        except InputError as error:
            return Check("page", holds=False, words=str(error))
        if content in {render(dossier, verdict, statements=said), render(dossier, None, statements=said)}:
            words = f"{path.name} is what this evidence and {statements.NAME} give, byte for byte"
            return Check("page", holds=True, words=words)
    if content == render(dossier, verdict):
        return Check("page", holds=True, words=f"{path.name} is what this evidence gives, byte for byte")
    if verdict is not None and content == render(dossier, None):
        return Check("page", holds=True, words=f"{path.name} is what this evidence gives, not judged")
    named = re.search(rb'name="rai-manifest" content="(sha256:[0-9a-f]{64})"', content)
    if named is None or named[1].decode() != dossier.manifest.digest:
        return Check("page", holds=False, words=f"{path.name} speaks of another manifest than the one here")
    tool = dossier.manifest.tool
    return Check(
        "page",
        holds=False,
        words=f"{path.name} is not what this evidence and verdict give (if another version than {tool} "
        f"wrote it, or with statements that are not in {statements.NAME} here, render it anew with rai report)",
    )


def _of_file(path: Path, known: Collection[str]) -> str:
    """The digest of an ONNX file; where weights lie beside it that of all of them, which is what a subject has."""
    alone = files.digest_of_file(path)
    if alone in known:
        return alone
    try:
        from rai_bigmodel.deploy import beside
        from rai_bigmodel.deploy.session import digest_of

        there = beside.read(path, where=str(path))
    except InputError:
        return alone
    return digest_of(there.content, there.beside)


def _subjects(folder: Path, dossier: Dossier) -> list[Check]:
    """The models that lie in the folder, by the digests that the manifest names."""
    wanted = {s.digest: s for s in dossier.manifest.evidence.subjects if s.digest}
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.onnx")):
        found[_of_file(path, wanted)] = path.name
    for card in sorted(folder.glob("*/card.json")):
        try:
            from rai_bigmodel.training.checkpoint import load_run
        except InputError as error:  # torch is not installed: the runs stay unchecked, and that is said
            return [Check("models", holds=None, words=str(error))]
        try:
            found[load_run(card.parent).digest] = card.parent.name
        except InputError as error:
            found[f"broken {card.parent.name}"] = str(error)
    out = []
    for digest, where in found.items():
        if digest.startswith("broken "):
            out.append(Check("model", holds=False, words=where))
        elif digest in wanted:
            role = wanted[digest].role
            out.append(Check("model", holds=True, words=f"{where} is the {role} subject, {digest[:19]}…"))
        else:
            words = f"{where} is {digest[:19]}…, which the manifest does not name"
            out.append(Check("model", holds=False, words=words))
    return out
