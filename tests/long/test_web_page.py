"""The leaderboard's web page in a real browser, headless Chromium: what it does, how it fits, how fast it is.

After each test the browser's console must be empty and no request may have left the page.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_up_rankings import make_large, make_published_like, make_ranking, make_row

from cia_bench.leaderboard.html import as_html

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed; pip install -e .[dev] does")
from selenium.common.exceptions import NoAlertPresentException  # noqa: E402
from selenium.webdriver import ActionChains, Keys  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402

DRAWN = (
    "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done)))"
)
HOSTILE = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "<svg onload=alert(3)>",
    "javascript:alert(4)",
    "right\u202eleft",
    "m" * 400,
]


@pytest.fixture(scope="module")
def started() -> Iterator:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("needs Chromium and its driver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1440,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    browser.set_script_timeout(30)
    yield browser
    browser.quit()


@pytest.fixture
def browser(started) -> Iterator:
    started.set_window_size(1440, 900)
    yield started
    assert started.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in started.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert asked and all(url.startswith(("file:///", "data:")) and url.endswith((".html", "data:,")) for url in asked)


def show(browser, folder: Path, *rankings) -> None:
    path = folder / "board.html"
    path.write_text(as_html(list(rankings)), encoding="utf-8")
    browser.get(path.as_uri())
    browser.execute_async_script(DRAWN)


def find(browser, selector: str):
    return browser.find_element(By.CSS_SELECTOR, selector)


def texts(browser, selector: str) -> list[str]:
    """The text of the elements that are shown."""
    shown = "[...document.querySelectorAll(arguments[0])].filter((e) => !e.closest('[hidden]'))"
    return browser.execute_script(f"return {shown}.map((e) => e.textContent)", selector)


def models(browser) -> list[str]:
    return texts(browser, "tbody th bdi")


def bring(browser, selector: str):
    """Scroll an element into sight and wait until its chart is drawn."""
    element = find(browser, selector)
    browser.execute_script("arguments[0].scrollIntoView({ block: 'center' })", element)
    browser.execute_async_script(DRAWN)
    browser.execute_async_script(DRAWN)
    return find(browser, selector)


def tip(browser) -> list[str]:
    return find(browser, "#tip").text.splitlines()


def header(browser, name: str):
    return browser.find_element(By.XPATH, f"//thead//th[.='{name}']")


def test_a_click_on_a_header_sorts_the_table_and_the_charts_and_a_second_one_turns_the_order(browser, tmp_path):
    rows = [
        make_row("middle", {"epic": 0.6}, 2, parameters=10**7, dim=8),
        make_row("unknown", {"epic": 0.5}, 2, 1, dim=100),
        make_row("Ärger", {"epic": 0.8}, 2, 2, parameters=9 * 10**6, dim=30),
    ]
    show(browser, tmp_path, make_ranking(rows, ["epic"]))
    assert models(browser) == ["Ärger", "middle", "unknown"]
    parameters = header(browser, "parameters")
    for order, expected in (("descending", ["middle", "Ärger"]), ("ascending", ["Ärger", "middle"])):
        parameters.click()
        assert models(browser) == [*expected, "unknown"]  # what is not known stands last either way
        assert parameters.get_attribute("aria-sort") == order
        bring(browser, ".forest svg")
        assert texts(browser, ".forest .row text[text-anchor=end]") == [*expected, "unknown"]
        bring(browser, "canvas")
        assert texts(browser, ".heat .tops span") == [*expected, "unknown"]
    header(browser, "model").click()
    assert models(browser) == ["Ärger", "middle", "unknown"] and parameters.get_attribute("aria-sort") == "none"
    assert texts(browser, "tfoot th") == ["constant"]


def test_filters_leave_rows_out_of_the_table_and_the_charts(browser, tmp_path):
    show(browser, tmp_path, make_published_like())
    everything = models(browser)
    assert len(everything) == 17 and find(browser, "output").text == "17 of 17 rows"
    name, limit, dim = (find(browser, f"[name={field}]") for field in ("name", "parameters", "dim"))
    name.send_keys("LIFT")
    assert models(browser) == [one for one in everything if "lift" in one.lower()]
    find(browser, "[name=reported]").click()
    assert models(browser) == ["siglip2-base:lift", "clip-b16:lift", "dinov2-small-reg:lift", "pixels:lift"]
    assert find(browser, "output").text == "4 of 17 rows"
    limit.send_keys("94.3")
    assert models(browser) == ["clip-b16:lift", "dinov2-small-reg:lift"]
    dim.send_keys("768")
    assert models(browser) == ["dinov2-small-reg:lift"]
    bring(browser, ".bubbles svg")
    assert texts(browser, ".bubbles .label") == ["dinov2-small-reg:lift"]
    find(browser, "button[type=reset]").click()
    browser.execute_async_script(DRAWN)
    assert models(browser) == everything
    name.send_keys("nothing is called this" + Keys.ENTER)
    browser.execute_async_script(DRAWN)
    assert models(browser) == [] and "No model to draw" in find(browser, ".bubbles svg").text
    assert "board.html" in browser.current_url and "?" not in browser.current_url


def test_pointing_at_a_mark_shows_its_details_and_leaving_hides_them(browser, tmp_path):
    show(browser, tmp_path, make_published_like())
    bring(browser, ".bubbles svg")
    ActionChains(browser).move_to_element(find(browser, ".bubble.kind-reported")).perform()
    assert tip(browser)[0] == "LiFT (reported)" and "parameters: 30.0M" in tip(browser)
    bring(browser, ".forest svg")
    ActionChains(browser).move_to_element(find(browser, ".forest .row:nth-of-type(2) .dot")).perform()
    assert tip(browser)[0] == "siglip2-base:lift" and "mean: 76.5 [75.0, 78.0]" in tip(browser)
    canvas = bring(browser, "canvas")
    left, top = -canvas.size["width"] // 2 + 5, -canvas.size["height"] // 2 + 5
    ActionChains(browser).move_to_element_with_offset(canvas, left, top).perform()
    group, model, shown = tip(browser)
    assert group == texts(browser, ".heat .lefts span")[0] and model == "siglip2-base:lift"
    assert shown.endswith(" clips") and find(browser, ".cursor").is_displayed()
    ActionChains(browser).move_to_element(find(browser, ".heat h3")).perform()
    assert not find(browser, "#tip").is_displayed() and not find(browser, ".cursor").is_displayed()


def test_everything_can_be_reached_by_keys(browser, tmp_path):
    show(browser, tmp_path, make_published_like())
    reached = []
    for _ in range(40):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        reached.append(
            browser.execute_script("const e = document.activeElement; return e.name || e.textContent || e.tagName")
        )
        if browser.switch_to.active_element.text == "mean":
            ActionChains(browser).send_keys(Keys.ENTER).perform()
            break
    assert header(browser, "mean").get_attribute("aria-sort") == "descending"
    assert {"name", "parameters", "dim", "reported", "Show all", "model", "rank", "epic"} <= set(reached)
    for selector, last in ((".bubbles svg", "vjepa-large"), (".forest svg", "Perception Encoder (reported)")):
        drawing = bring(browser, selector)
        drawing.send_keys(Keys.ARROW_RIGHT)
        first = tip(browser)[0]
        drawing.send_keys(Keys.ARROW_RIGHT)
        assert tip(browser)[0] != first
        drawing.send_keys(Keys.ARROW_LEFT)
        assert tip(browser)[0] == first
        drawing.send_keys(Keys.END)
        assert tip(browser)[0] == last
        drawing.send_keys(Keys.ESCAPE)
        assert not find(browser, "#tip").is_displayed()
    canvas = bring(browser, "canvas")
    for key in (Keys.HOME, Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT, Keys.ARROW_LEFT):
        canvas.send_keys(key)
    assert tip(browser)[:2] == [texts(browser, ".heat .lefts span")[1], texts(browser, ".heat .tops span")[0]]
    assert find(browser, "#tip").get_attribute("role") == "status"  # read aloud when it changes


def test_hostile_names_are_shown_and_do_nothing(browser, tmp_path):
    rows = [make_row(name, {name: 0.6}, 1, parameters=10**7, dim=9, encoder=name, saw={name: name}) for name in HOSTILE]
    show(browser, tmp_path, *(make_ranking([row], [*row.scores]) for row in rows))
    shown = ["right\\u202eleft" if "\u202e" in name else name for name in HOSTILE]
    assert models(browser) == shown
    assert texts(browser, "option") == shown
    for selector in (".bubbles svg", ".forest svg", "canvas"):
        bring(browser, selector).send_keys(Keys.ARROW_RIGHT)
        assert shown[0] in find(browser, "#tip").text
    assert texts(browser, ".heat .lefts span")[0] == f"{shown[0]}/open-close/000"
    assert (
        browser.execute_script("return document.querySelectorAll('img, script:not(:last-of-type), [onload]').length")
        == 0
    )
    with pytest.raises(NoAlertPresentException):
        _ = browser.switch_to.alert.text


def test_a_script_that_slipped_in_would_not_run(browser, tmp_path):
    show(browser, tmp_path, make_published_like())
    slip = "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s);"
    assert browser.execute_script(f"{slip} return window.ran") is None
    (refused,) = browser.get_log("browser")
    assert "Content Security Policy" in refused["message"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 820, 390])
def test_the_page_fits_a_desk_a_tablet_and_a_phone_in_light_and_dark(browser, tmp_path, width, scheme):
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    show(browser, tmp_path, make_published_like())
    for selector in (".bubbles svg", ".forest svg", "canvas"):
        bring(browser, selector)
    page = browser.execute_script("const e = document.documentElement; return [e.scrollWidth, e.clientWidth]")
    assert page[0] == page[1] <= width
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    smallest = browser.execute_script(
        "return Math.min(...[...document.querySelectorAll('button, input:not([type=checkbox]), select')]"
        ".map((e) => e.getBoundingClientRect().height))"
    )
    assert smallest >= 30  # pixels, for a thumb
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_paper_shows_all_rows_and_all_charts_and_no_controls(browser, tmp_path):
    show(browser, tmp_path, make_large(models=60, groups=20))
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert not find(browser, "form.filters").is_displayed()
    board, canvas = find(browser, ".board"), find(browser, "canvas")
    assert board.size["height"] >= find(browser, "table").size["height"] and canvas.size["width"] <= 900
    assert len(texts(browser, ".forest .row")) == 60
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert len(browser.print_page()) > 10_000


def test_two_hundred_models_on_three_hundred_groups_stay_smooth(browser, tmp_path):
    show(browser, tmp_path, make_large())
    loaded = browser.execute_script("return performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert loaded < 5000  # milliseconds; about 400 on two free cores
    timed = (
        f"const done = arguments.at(-1), start = performance.now(); {{}}; {DRAWN.replace('arguments[0]', '() => null')}"
    )
    timed = (
        "const [code, done] = arguments, start = performance.now(); document.querySelector(code).click();"
        "requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)))"
    )
    for selector in ("body", ".forest svg", "canvas"):  # what is in sight is drawn anew
        bring(browser, selector)
        assert min(browser.execute_async_script(timed, "th:nth-child(2) button") for _ in range(3)) < 1000
    canvas = bring(browser, "canvas")
    assert canvas.size == {"width": 200 * 12, "height": 300 * 15}
    assert browser.execute_script("return arguments[0].width * arguments[0].height", canvas) <= 16e6
