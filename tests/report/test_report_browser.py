"""The page in a real browser: narrow and wide, light and dark, on paper, and by axe-core's rules."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import report_dossier as made

from rai_bigmodel import api
from rai_bigmodel.report import html
from rai_bigmodel.report.index import found
from rai_bigmodel.statements import Statements

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

VIEWS = [("judged", width, scheme) for width in (390, 1280) for scheme in ("light", "dark")]
VIEWS += [
    ("unjudged", 390, "dark"),
    ("hostile", 390, "light"),
    ("governed", 390, "light"),
    ("governed", 1280, "dark"),
    ("judged", 768, "light"),
    ("chinese", 390, "dark"),
    ("chinese", 768, "light"),
    ("chinese", 1280, "light"),
    ("overview", 390, "dark"),
    ("overview", 1280, "light"),
]
RULES = {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }
}


def unavailable(reason: str) -> None:
    """Skip, saying why; where a browser is required, fail."""
    if os.environ.get("RAI_REQUIRE_BROWSER") == "1":
        pytest.fail(f"RAI_REQUIRE_BROWSER=1, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium of the system."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        unavailable(f"none of {', '.join(names)} is installed")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unavailable("the package playwright is not installed")
    with sync_playwright() as play:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        chromium = play.chromium.launch(executable_path=path, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The judged page, the page without a verdict, and a page full of hostile names, as files."""
    folder = tmp_path_factory.mktemp("pages")
    dossier = made.dossier()
    pages = {
        "judged": html.render(dossier, made.verdict(dossier)),
        "unjudged": html.render(dossier, None),
        "hostile": html.render(made.hostile(), None),
        "governed": html.render(
            dossier, made.verdict(dossier), statements=Statements(frameworks=("gdpr", "lending"))
        ),
    }
    pages["chinese"] = html.render(
        dossier, made.verdict(dossier), statements=Statements(frameworks=("gdpr",)), lang="zh"
    )
    for day in (1, 2):
        whole = made.dossier(day=f"day {day}")
        api.save(whole, folder / "runs" / f"run-{day}")
        api.save_verdict(whole, made.verdict(whole), folder / "runs" / f"run-{day}")
    pages["overview"] = html.render_index(found(folder / "runs"), lang="zh")
    for name, content in pages.items():
        (folder / f"{name}.html").write_bytes(content)
    return {name: (folder / f"{name}.html").as_uri() for name in pages}


def opened(
    browser: Browser, address: str, width: int, scheme: Any, **more: Any
) -> tuple[Page, list[str], list[str]]:
    """A page in a fresh context, with all it says to the console and all it asks for."""
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme, **more)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    return page, said, asked


@pytest.mark.parametrize(("name", "width", "scheme"), VIEWS)
def test_page_is_quiet_alone_and_as_wide_as_its_window(
    browser: Browser, addresses: dict[str, str], name: str, width: int, scheme: str
) -> None:
    """No console message, no request but the document, no horizontal scroll, with all details open too."""
    page, said, asked = opened(browser, addresses[name], width, scheme)
    asked = [url for url in asked if not url.startswith("data:")]
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

    assert page.evaluate(wide) == 0
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate(wide) == 0
    assert said == []
    assert asked == [addresses[name]]
    page.context.close()


def _looked_at(name: str, width: int, scheme: str) -> object:
    """Every page once, the judged one in both schemes, in every test run; the other views by ``make zoo``."""
    often = (name, width, scheme) in {
        ("judged", 390, "light"),
        ("judged", 1280, "dark"),
        ("unjudged", 390, "dark"),
        ("hostile", 390, "light"),
        ("governed", 390, "light"),
        ("chinese", 390, "dark"),
        ("overview", 390, "dark"),
    }
    return pytest.param(name, width, scheme, marks=() if often else pytest.mark.zoo)


@pytest.mark.parametrize(("name", "width", "scheme"), [_looked_at(*view) for view in VIEWS if view[1] != 768])
def test_axe_finds_no_violation(
    browser: Browser, addresses: dict[str, str], name: str, width: int, scheme: str
) -> None:
    """WCAG 2.2 AA and best practice; the policy of the page is set aside for axe only."""
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        unavailable("axe-core is not installed (the extra 'dev' brings it)")
    axe = Axe()
    page, _, _ = opened(browser, addresses[name], width, scheme, bypass_csp=True)
    # For time, contrast is looked at once a scheme, with all details open; every other rule in every view. The
    # governed page holds all that the judged one does, and the Chinese page has the same colours.
    whole = (name, scheme) == ("judged", "dark") or name not in {"judged", "chinese"}
    if whole:
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    options = RULES if whole else {**RULES, "rules": {"color-contrast": {"enabled": False}}}
    found = axe.run(page, options=options)
    wrong = [
        (v["id"], v["help"], [node["html"][:160] for node in v["nodes"][:3]])
        for v in found.response["violations"]
    ]

    assert wrong == []
    page.context.close()


def test_content_security_policy_is_obeyed(browser: Browser, addresses: dict[str, str]) -> None:
    """The style sheet applies though only its hash is allowed, and a script put into the page does not run."""
    page, _, _ = opened(browser, addresses["judged"], 1280, "light")
    page.evaluate(
        """() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1';
        document.body.append(s) }"""
    )

    assert page.evaluate("window.ran") is None
    assert page.evaluate("getComputedStyle(document.querySelector('.verdict')).borderLeftWidth") == "6px"
    page.context.close()


def test_keyboard_reaches_the_rules_and_every_box_that_scrolls(
    browser: Browser, addresses: dict[str, str]
) -> None:
    """The first stop leads past the head; each table's box can be focused and has a name."""
    page, _, _ = opened(browser, addresses["judged"], 390, "light")
    page.keyboard.press("Tab")

    assert page.evaluate("document.activeElement.getAttribute('href')") == "#rules"
    assert page.evaluate(
        "[...document.querySelectorAll('.scroll')].every(e => e.tabIndex === 0 && e.getAttribute('aria-label'))"
    )
    page.context.close()


@pytest.mark.parametrize("name", ["judged", "chinese"])
def test_the_keyboard_alone_opens_what_is_folded_and_follows_a_finding(
    browser: Browser, addresses: dict[str, str], name: str
) -> None:
    """Enter on a summary unfolds it, Enter on a finding leads to its rule, and what has the focus is outlined."""
    page, _, _ = opened(browser, addresses[name], 1280, "light", reduced_motion="reduce")
    page.evaluate("document.querySelector('main details:not([open]) > summary').focus()")
    page.keyboard.press("Enter")
    unfolded = page.evaluate("document.activeElement.parentElement.open")
    page.evaluate("document.querySelector('.findings a').focus({focusVisible: true})")
    outlined = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    page.keyboard.press("Enter")

    assert unfolded
    assert outlined == "solid"
    assert page.evaluate("document.querySelector(':target').classList.contains('rule')")
    page.context.close()


def test_text_in_charts_is_readable_on_a_phone(browser: Browser, addresses: dict[str, str]) -> None:
    """At 390 px no text of a chart is drawn smaller than 9 px."""
    page, _, _ = opened(browser, addresses["judged"], 390, "light")
    smallest = page.evaluate(
        """Math.min(...[...document.querySelectorAll('svg text')].filter(t => t.getClientRects().length).map(t =>
        parseFloat(getComputedStyle(t).fontSize) * t.getScreenCTM().a || 99))"""
    )

    assert smallest >= 9
    page.context.close()


@pytest.mark.parametrize("name", ["judged", "chinese"])
def test_page_prints_with_its_tables_open(
    browser: Browser, addresses: dict[str, str], tmp_path: Path, name: str
) -> None:
    """On paper closed details are shown, but for those that repeat a picture, and a PDF comes out."""
    page, said, _ = opened(browser, addresses[name], 794, "dark")
    page.emulate_media(media="print")
    heights = page.evaluate(
        """[...document.querySelectorAll('details dl, details table')].filter(e => !e.closest('figure'))
        .map(e => e.checkVisibility())"""
    )
    page.pdf(path=tmp_path / "page.pdf", format="A4")

    assert all(heights)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert said == []
    page.context.close()
