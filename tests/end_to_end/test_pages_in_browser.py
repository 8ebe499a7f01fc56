"""The pages in a real browser: Chromium without a window and without a network, driven through playwright."""

import io
import re
import shutil
from importlib.util import find_spec

import numpy as np
import pytest

import cosim
from cosim.study.page import write_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_spec("playwright") is None, reason="playwright is not installed: pip install playwright"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
]
SCENARIO = """
seed: {seed}
rounds: 9
devices: {{count: 6}}
learning: {{kind: none}}
mobility: {{kind: random_waypoint, speed_min_m_s: 10.0, speed_max_m_s: 30.0, pause_max_s: 0.0}}
compute: {{kind: shifted_exponential, mean: 1.5}}
allocator: {{kind: {allocator}}}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two allocators, two seeds."""
    folder, made = tmp_path_factory.mktemp("browser"), []
    for allocator in ("kkt", "equal_bandwidth"):
        for seed in (1, 2):
            (folder / "s.yaml").write_text(SCENARIO.format(seed=seed, allocator=allocator))
            made.append(cosim.run(cosim.Scenario.load(folder / "s.yaml"), out=folder / f"{allocator}-{seed}"))
    return made


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Opens a file, without a network, in a window of some size; what went wrong is in ``page.problems``."""
    contexts = []

    def show(path, width=1280, height=900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.problems = []
        page.on("console", lambda message: page.problems.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on(
            "request", lambda request: None if request.url.startswith(("file:", "data:", "blob:")) else page.problems.append(request.url)
        )
        page.goto(path.as_uri())
        page.wait_for_function("[...document.querySelectorAll('[data-figure]')].every((place) => place.querySelector('.main-svg'))")
        return page

    yield show
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def one(runs):
    return write_page([runs[0].directory])


@pytest.fixture(scope="module")
def several(runs, tmp_path_factory):
    return write_page([run.directory for run in runs], tmp_path_factory.mktemp("several") / "report.html")


def figure(page, title):
    return page.locator("figure", has=page.locator(f"h3:text-is('{title}')"))


def slide(place, share):
    """Click on a figure's slider, at a share of its length."""
    place.scroll_into_view_if_needed()
    rail = place.locator(".slider-rail-touch-rect").bounding_box()
    place.page.mouse.click(rail["x"] + share * rail["width"], rail["y"] + rail["height"] / 2)


def positions_m(place):
    """Positions of the devices as drawn, from the pixels where the marks are, sorted."""
    return sorted(
        place.locator(".plot").evaluate("""(plot) => {
            const { xaxis, yaxis } = plot._fullLayout, frame = plot.getBoundingClientRect();
            const traces = [...plot.querySelectorAll(".scatterlayer .trace")].filter((trace) => trace.__data__[0].trace.name !== "site");
            const marks = traces.flatMap((trace) => [...trace.querySelectorAll(".point")]);
            return marks.map((mark) => mark.getBoundingClientRect()).map((box) => [
                xaxis.p2d(box.x + box.width / 2 - frame.x - xaxis._offset), yaxis.p2d(box.y + box.height / 2 - frame.y - yaxis._offset)]);
        }""")
    )


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("kind", ["one", "several"])
def test_nothing_goes_wrong_and_nothing_is_cut_off(kind, width, one, several, open_page):
    page = open_page({"one": one, "several": several}[kind], width=width)
    assert page.problems == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    least_px = page.evaluate("""Math.min(...[...document.querySelectorAll("header *, p, dt, dd, td, th, figcaption")]
        .filter((place) => place.textContent.trim()).map((place) => parseFloat(getComputedStyle(place).fontSize)))""")
    assert least_px >= 12


def test_the_slider_moves_the_devices(runs, one, open_page):
    page, devices = open_page(one), runs[0].devices
    place = figure(page, "Map of the devices")
    for share, index in ((1.0, 8), (0.0, 0), (0.5, 4)):
        slide(place, share)
        page.wait_for_function(f"(plot) => plot.layout.sliders[0].active === {index}", arg=place.locator(".plot").element_handle())
        rows = devices[devices["round"] == index]
        np.testing.assert_allclose(positions_m(place), sorted(zip(rows["x_m"], rows["y_m"], strict=True)), atol=4.0)
    assert page.problems == []


def test_the_three_questions_are_answered_for_round_7(runs, one, open_page):
    """Which device is the straggler and why; how far was the planned latency off; what share was waiting: against the tables."""
    page, run = open_page(one), runs[0]
    place = figure(page, "Round by round")
    slide(place, 7 / 8)
    note = place.locator(".note")
    page.wait_for_function("(note) => note.textContent.startsWith('Round 7 ')", arg=note.element_handle())
    rows, total = run.devices[run.devices["round"] == 7], run.rounds.iloc[7]
    text = note.text_content()
    last = rows.loc[rows["t_total_s"].idxmax(), "device"]
    assert f"Last was device {last}, after" in text
    assert re.search(r"Why: (the radio; its upload took|computing;)", text)
    change = total["latency_s"] / total["planned_latency_s"] - 1
    assert f"({abs(change) * 100:.0f} %)" in text or "as planned" in text
    waiting = (total["latency_s"] - rows["t_total_s"]).sum() / (6 * total["latency_s"])
    assert f"Waiting was {100 * waiting:.1f} % of the devices' time" in text
    names = place.locator(".ytick text").all_text_contents()
    assert set(names) == {str(device) for device in rows["device"]}


def test_figures_are_painted(one, several, open_page):
    """A screenshot of each figure has many colours: letters, lines, marks."""
    from PIL import Image

    for path in (one, several):
        page = open_page(path)
        for place in page.locator("figure").all():
            image = Image.open(io.BytesIO(place.screenshot())).convert("RGB")
            assert len(image.getcolors(maxcolors=1_000_000)) > 30, place.locator("h3").text_content()
