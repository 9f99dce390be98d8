"""How does a service that answers over HTTP become a subject? Batch by batch, and never asked for more than was said.

A batch is one ``POST`` of ``{"instances": [{column: value, …}, …]}``, answered by ``{"predictions": [number or list of
numbers, …]}``, one a row: the V1 protocol of KServe and TensorFlow Serving. Missing values are ``null``.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

import numpy as np

from rai_bigmodel import files
from rai_bigmodel.errors import InputError
from rai_bigmodel.subject import Subject
from rai_bigmodel.subjects.of_callable import answered, decided

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rai_bigmodel.subject import Array, Inputs

MAX_ANSWER = 64_000_000
"""Bytes that one answer may have."""
_AGAIN = frozenset([429, 502, 503, 504])
"""Answers of a service that is busy or starting: asked again."""


class _Busy(Exception):
    """Worth asking again."""


def of_endpoint(
    url: str,
    *,
    egress: Sequence[str],
    labels: Sequence[str] = ("0", "1"),
    positive: str = "",
    threshold: float = 0.5,
    batch: int = 64,
    timeout: float = 10.0,
    retries: int = 2,
    wait: float = 0.5,
    at_most: int = 100_000,
    headers: Mapping[str, str] | None = None,
    name: str = "",
) -> Subject:
    """A service as a subject of kind ``endpoint``. It has no digest, so a rule that pins a subject is inconclusive.

    Redirects are not followed and no proxy is asked: no other host is contacted than the one of `url`. Every batch is
    asked once, and again only where the service did not answer or says that it is busy.

    Args:
        url: ``http://`` or ``https://``; certificates are checked.
        egress: the hosts that may be contacted, ``host`` or ``host:port``.
        labels: what it decides between; with more than two it gives a list of probabilities in this order, with none a
            number.
        positive: of two labels, the one whose score it gives; of a list of two, the one that counts.
        threshold: a score at or above it is a positive decision.
        batch: rows a request.
        timeout: seconds for one answer, and for each wait within it.
        retries: how often a batch is asked again.
        wait: seconds before the first time, twice as many before each further one.
        at_most: rows that it may be asked about, all requests together.
        headers: to send along, such as one that says who asks.

    Raises:
        InputError: `egress` does not name the host, or a setting cannot be used; in ``predict``, the service is down,
            too slow, answers nonsense, or was asked about enough rows.
    """
    place = _place(url, egress)
    name = name or place.netloc
    if batch < 1 or timeout <= 0 or retries < 0 or wait < 0 or at_most < 1:
        msg = (
            f"{name}: batch and at_most must be at least 1, timeout above 0, retries and wait at least 0; got "
            f"{batch}, {at_most}, {timeout}, {retries} and {wait}"
        )
        raise InputError(msg)
    named = tuple(labels)
    decision = decided(named, positive=positive, threshold=threshold, name=name)
    service = _Service(
        name=name, place=place, headers=dict(headers or {}), timeout=timeout, retries=retries, wait=wait
    )
    asked = 0

    def ask(inputs: Inputs) -> Array:
        nonlocal asked
        rows = _rows(inputs, name)
        if asked + len(rows) > at_most:
            msg = f"{name}: was asked about {asked:,} rows, {len(rows):,} more would pass the {at_most:,} of at_most"
            raise InputError(msg)
        asked += len(rows)
        said: list[Any] = []
        for i in range(0, len(rows), batch):
            some = rows[i : i + batch]
            body = json.dumps({"instances": some}, allow_nan=False).encode()
            answer = service.answer(body)
            said += _predictions(answer, len(some), name)
        return _numbers(said, len(named), named.index(decision.positive) if len(named) == 2 else 0, name)

    def predict(inputs: Inputs) -> Array:
        return answered(lambda: ask(inputs), name=name, inputs=inputs, labels=len(named))

    return Subject(
        name=name, kind="endpoint", digest="", decision=decision, predict=predict, card={"url": url}
    )


def _place(url: str, egress: Sequence[str]) -> SplitResult:
    try:
        place = urlsplit(url)
        host, port = place.hostname or "", place.port
    except ValueError:
        host, place, port = "", SplitResult("", "", "", "", ""), None
    if (
        place.scheme not in {"http", "https"}
        or not host
        or place.username is not None
        or not url.isprintable()
    ):
        msg = f"endpoint: must be http://host/… or https://host/… without a password in it, got {files.visible(url)!r}"
        raise InputError(msg)
    port = port or (443 if place.scheme == "https" else 80)
    shown = f"[{host}]" if ":" in host else host
    if not {shown, f"{shown}:{port}"} & {one.strip().lower() for one in egress}:
        may = ", ".join(map(files.visible, egress)) or "no host"
        msg = f"endpoint: egress: names {may}; {shown}:{port} is not contacted unless it is named there"
        raise InputError(msg)
    return place


def _rows(inputs: Inputs, name: str) -> list[dict[str, Any]]:
    """One dict a row, of plain values; NaN and None become null, arrays lists."""
    columns = inputs if isinstance(inputs, dict) else {"input": inputs}
    plain = {}
    for column, values in columns.items():
        whole = np.asarray(values)
        if whole.dtype.kind == "f" and np.isinf(whole).any():
            msg = f"{name}: the column {column!r} holds infinite values, which JSON cannot say"
            raise InputError(msg)
        plain[column] = _null(whole.tolist())
    return [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]


def _null(value: Any) -> Any:
    if isinstance(value, list):
        return [_null(v) for v in value]
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124 - NaN is not itself


@dataclass(frozen=True, kw_only=True)
class _Service:
    """Where a service is, and how patiently it is asked."""

    name: str
    place: SplitResult
    headers: Mapping[str, str]
    timeout: float
    retries: int
    wait: float

    def answer(self, body: bytes) -> bytes:
        """What it answers to one request, after at most so many further attempts.

        Raises:
            InputError: it is down, too slow, or refuses.
        """
        why = ""
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(self.wait * 2 ** (attempt - 1))
            try:
                return self._once(body)
            except _Busy as error:
                why = str(error)
        tried = "once" if self.retries == 0 else f"{self.retries + 1} times"
        msg = f"{self.name}: {why} (asked {tried})"
        raise InputError(msg)

    def _once(self, body: bytes) -> bytes:
        connection = self._connection()
        path = (self.place.path or "/") + (f"?{self.place.query}" if self.place.query else "")
        sent = {"Content-Type": "application/json", "Accept": "application/json", **self.headers}
        try:
            connection.request("POST", path, body=body, headers=sent)
            with connection.getresponse() as answer:
                whole = self._read(answer, time.monotonic() + self.timeout)
        except TimeoutError:
            msg = f"gave no answer within {self.timeout:g} s"
            raise _Busy(msg) from None
        except (OSError, http.client.HTTPException) as error:
            said = getattr(error, "strerror", None) or str(error) or type(error).__name__
            msg = f"cannot be asked ({files.visible(str(said))[:120]})"
            raise _Busy(msg) from None
        finally:
            connection.close()
        if answer.status in _AGAIN:
            msg = f"says that it is busy (HTTP {answer.status})"
            raise _Busy(msg)
        if 300 <= answer.status < 400:
            to = files.visible(answer.getheader("Location") or "nowhere")[:120]
            msg = f"{self.name}: sends on to {to!r}, which is not followed; name that address itself"
            raise InputError(msg)
        if answer.status != 200:
            said = files.visible(whole[:160].decode("utf-8", "replace"))
            msg = f"{self.name}: refused with HTTP {answer.status} ({said})"
            raise InputError(msg)
        return whole

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self.place.hostname or "", self.place.port
        if self.place.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self.timeout)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=self.timeout, context=context)

    def _read(self, answer: http.client.HTTPResponse, ends: float) -> bytes:
        """Piece by piece: a service that sends a byte now and then must not hold the audit for ever."""
        whole = bytearray()
        while part := answer.read1(1 << 16):
            whole += part
            if len(whole) > MAX_ANSWER:
                msg = f"{self.name}: answered with more than {MAX_ANSWER:,} bytes"
                raise InputError(msg)
            if time.monotonic() > ends:
                raise TimeoutError
        return bytes(whole)


def _predictions(answer: bytes, rows: int, name: str) -> list[Any]:
    try:
        said = json.loads(answer, parse_constant=_refuse)
        found = said["predictions"]
    except (ValueError, KeyError, TypeError, RecursionError):
        start = files.visible(answer[:80].decode("utf-8", "replace"))
        msg = f'{name}: must answer {{"predictions": [one a row]}} in JSON, got {start!r}'
        raise InputError(msg) from None
    if not isinstance(found, list) or len(found) != rows:
        count = f"{len(found)} predictions" if isinstance(found, list) else f"a {type(found).__name__}"
        msg = f"{name}: gave {count} for {rows} rows"
        raise InputError(msg)
    return found


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def _numbers(said: list[Any], labels: int, at: int, name: str) -> Array:
    """Predictions as ``(rows,)`` or, of more than two labels, ``(rows, labels)``."""
    try:
        answers = np.array(said, dtype=np.float64) if said else np.empty((0, labels) if labels > 2 else 0)
    except (ValueError, TypeError):
        msg = f"{name}: gave predictions that are no numbers, such as {files.visible(repr(said[0]))[:60]}"
        raise InputError(msg) from None
    if labels == 2 and answers.ndim == 2 and answers.shape[1] == 2:
        return answers[:, at]
    return answers
