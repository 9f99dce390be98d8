"""What else than the subject differs between two runs, so that a change may not be the subject's?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rai_bigmodel.compare import turned

if TYPE_CHECKING:
    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.evidence import DataId


def unlike(before: Dossier, after: Dossier) -> list[str]:
    """What else differs than the subject, so that a change may not be the subject's: rows, the positive label; lines.

    The outcome that counts as positive turns rates around: what is then called better may be worse.
    """
    old = {(e.audit, e.subject.role): e for e in before.evidence}
    rows, labels = {}, {}
    for now in after.evidence:
        was = old.get((now.audit, now.subject.role))
        if was is None:
            continue
        if was.data.digest != now.data.digest:
            rows[was.data.digest, now.data.digest] = was.data, now.data
        if other := turned(was, now):
            labels[now.subject.role] = other
    lines = [
        f"other rows: {_rows(a)} before, {_rows(b)} after; what changed may be the rows and not the subject"
        for a, b in rows.values()
    ]
    return lines + [
        f"another positive label{'' if role == 'primary' else f' of {role}'}: {was!r} before, {now!r} after; "
        "rates are of other outcomes, and better and worse say nothing of them"
        for role, (was, now) in labels.items()
    ]


def _rows(data: DataId) -> str:
    return f"{data.rows:,} of {data.name} ({data.digest[:19]}…)"
