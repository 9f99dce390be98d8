"""Is a service asked for no more than it must be, and does one that is down, slow or wrong say so in one line?"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rai_bigmodel as rai
from rai_bigmodel import cli
from rai_bigmodel.errors import InputError
from rai_bigmodel.subject import Splits
from rai_bigmodel.subjects.of_endpoint import of_endpoint
from rai_bigmodel.tables import Table

ROWS = 150
HERE = ["127.0.0.1"]


class Service:
    """A server on this machine that keeps what it was asked and answers as it is told."""

    def __init__(self, answer: Callable[[list[dict[str, Any]], int], tuple[int, bytes]]) -> None:
        self.asked: list[int] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
                service.asked.append(len(rows))
                code, body = answer(rows, len(service.asked))
                self.send_response(code)
                if 300 <= code < 400:
                    self.send_header("Location", "http://192.0.2.1/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """Somebody who no longer waits for an answer is no news."""

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/score"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)


@pytest.fixture
def serving() -> Iterator[Callable[..., Service]]:
    running: list[Service] = []

    def start(answer: Callable[[list[dict[str, Any]], int], tuple[int, bytes]]) -> Service:
        running.append(Service(answer))
        return running[-1]

    yield start
    for service in running:
        service.close()


def right(rows: list[dict[str, Any]], _: int) -> tuple[int, bytes]:
    """The logistic function of x, half for a missing one."""
    scores = [0.5 if r["x"] is None else float(1 / (1 + np.exp(-r["x"]))) for r in rows]
    return 200, json.dumps({"predictions": scores}).encode()


def said(body: object) -> Callable[..., tuple[int, bytes]]:
    return lambda *_: (200, body if isinstance(body, bytes) else json.dumps(body).encode())


def rows_of() -> Table:
    r = np.random.default_rng(0)
    x = r.normal(size=ROWS)
    columns = {
        "x": x,
        "y": (x > 0).astype(float),
        "group": r.choice(np.array(["a", "b"], dtype=object), ROWS),
    }
    return Table(
        name="rows", columns=columns, roles={"feature": ("x",), "truth": ("y",), "sensitive": ("group",)}
    )


def asking(url: str, **how: Any):
    return of_endpoint(
        url, **{"egress": HERE, "timeout": 2.0, "retries": 1, "wait": 0.01, "batch": 64, **how}
    )


def test_all_audits_of_a_run_ask_for_each_row_once(serving) -> None:
    """150 rows in batches of 64 are three requests, whoever else wants the answers; scores are the function's."""
    service = serving(right)
    subject, table = asking(service.url), rows_of()
    dossier = rai.audit(
        subject, Splits(held_out=table), audits=["performance", "calibration", "fairness", "slices", "data"]
    )
    found = {m.metric: m.value for e in dossier.evidence for m in e.measurements if not m.labels}

    assert service.asked == [64, 64, 22]
    assert found["performance.roc_auc"] == 1
    assert dossier.evidence[0].subject.digest == ""
    assert subject.predict({"x": np.array([np.nan])}) == pytest.approx([0.5])


def test_a_service_that_is_busy_is_asked_again_and_no_more_often_than_said(serving) -> None:
    """503 once, then an answer; 503 for ever is one line after so many attempts."""
    once = serving(lambda rows, n: (503, b"") if n == 1 else right(rows, n))
    never = serving(lambda *_: (503, b""))

    assert asking(once.url).predict({"x": np.zeros(3)}) == pytest.approx([0.5] * 3)
    assert once.asked == [3, 3]
    with pytest.raises(InputError, match=r"says that it is busy \(HTTP 503\) \(asked 3 times\)"):
        asking(never.url, retries=2).predict({"x": np.zeros(3)})
    assert never.asked == [3, 3, 3]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (said(b"<html>"), "must answer {\"predictions\": .*, got '<html>'"),
        (said({"scores": [1]}), "must answer"),
        (said({"predictions": [0.5]}), "gave 1 predictions for 2 rows"),
        (said({"predictions": 7}), "gave a int for 2 rows"),
        (said({"predictions": ["yes", "no"]}), "predictions that are no numbers, such as 'yes'"),
        (said(b'{"predictions": [NaN, 0.5]}'), "must answer"),
        (said({"predictions": [[0.1, 0.2, 0.7]] * 2}), "gave answers of shape"),
        (lambda *_: (400, b"x is unknown\x1b[31m"), "refused with HTTP 400"),
        (lambda *_: (302, b""), "sends on to 'http://192.0.2.1/elsewhere', which is not followed"),
        (said(b"[" * 100_000), "must answer"),
    ],
)
def test_nonsense_is_one_line_and_is_not_asked_for_again(serving, answer, words: str) -> None:
    """Whatever comes, one line says what; the service was asked once."""
    service = serving(answer)
    with pytest.raises(InputError, match=words) as error:
        asking(service.url).predict({"x": np.zeros(2)})

    assert "\n" not in str(error.value)
    assert "\x1b" not in str(error.value)
    assert service.asked == [2]


def test_a_service_that_is_slow_or_down_is_given_up(serving) -> None:
    """Neither hangs: a time-out, and a refused connection."""
    slow = serving(lambda rows, n: (time.sleep(1.5), right(rows, n))[1])
    started = time.monotonic()
    with pytest.raises(InputError, match=r"gave no answer within 0\.2 s \(asked 2 times\)"):
        asking(slow.url, timeout=0.2).predict({"x": np.zeros(2)})

    assert time.monotonic() - started < 10
    gone = serving(right)
    gone.close()
    with pytest.raises(InputError, match=r"cannot be asked \(Connection refused\)"):
        asking(gone.url).predict({"x": np.zeros(2)})


def test_no_host_is_contacted_that_egress_does_not_name(serving) -> None:
    """Not even the service itself; a port may be named with the host."""
    service = serving(right)
    port = service.server.server_port
    for egress in ([], ["example.org"], [f"127.0.0.1:{port + 1}"], ["localhost"]):
        with pytest.raises(InputError, match=r"127\.0\.0\.1:\d+ is not contacted unless it is named there"):
            asking(service.url, egress=egress)
    asking(service.url, egress=[f"127.0.0.1:{port}"]).predict({"x": np.zeros(1)})

    assert service.asked == [1]
    for url in (
        "ftp://127.0.0.1/x",
        "http://a:b@127.0.0.1/",
        "127.0.0.1",
        "http:///x",
        "http://127.0.0.1:99999/",
    ):
        with pytest.raises(InputError, match="endpoint: must be http"):
            asking(url)


def test_more_rows_than_it_may_be_asked_about_are_not_sent(serving) -> None:
    """The limit holds over all calls, and is asked before anything is sent."""
    service = serving(right)
    subject = asking(service.url, at_most=5)
    subject.predict({"x": np.zeros(4)})
    with pytest.raises(InputError, match="was asked about 4 rows, 2 more would pass the 5 of at_most"):
        subject.predict({"x": np.zeros(2)})

    assert service.asked == [4]


def test_an_endpoint_in_audit_yaml_is_audited_from_the_command_line(serving, tmp_path: Path, capsys) -> None:
    """Exit 0 with evidence; without egress, or when it is down, exit 2 and one line."""
    service, table = serving(right), rows_of()
    lines = ["x,y,group", *(f"{x},{y:.0f},{g}" for x, y, g in zip(*table.columns.values(), strict=True))]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    text = (
        f"subject: {{endpoint: '{service.url}', retries: 0}}\n"
        "data: {file: rows.csv, truth: y, sensitive: [group]}\naudits: {performance: {}, fairness: {}}\n"
    )
    (tmp_path / "no.yaml").write_text(text)
    (tmp_path / "yes.yaml").write_text(text + "egress: [127.0.0.1]\n")

    assert cli._run(["audit", str(tmp_path / "yes.yaml"), "--out", str(tmp_path / "out")]) == 0
    assert sum(service.asked) == ROWS
    capsys.readouterr()
    assert cli._run(["audit", str(tmp_path / "no.yaml"), "--out", str(tmp_path / "no")]) == 2
    service.close()
    assert cli._run(["audit", str(tmp_path / "yes.yaml"), "--out", str(tmp_path / "down")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 2
    assert not (tmp_path / "down" / "manifest.json").exists()
