"""The report in headless Chromium, driven through WebDriver: Debian's chromium-driver."""

import base64
import json
import re
import shutil
import subprocess
import urllib.request
from io import BytesIO

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle

from kancore.figures import style
from kancore.figures.scheme_boxplots import hatch

DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(DRIVER is None, reason="needs Chromium's driver (chromium-driver)"),
]

OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run"
    " --disable-background-networking --disable-component-update --disable-sync"
)
PREFERENCES = {"browser": "ALL", "performance": "ALL"}


class Browser:
    """A session of a WebDriver."""

    def __init__(self, port, profile):
        self.address = f"http://127.0.0.1:{port}/session"
        options = {"args": [*OPTIONS.split(), f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": PREFERENCES}
        session = self.post("", {"capabilities": {"alwaysMatch": wanted}})
        self.address += "/" + session["sessionId"]

    def post(self, command, values):
        request = urllib.request.Request(
            self.address + command,
            json.dumps(values).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def run(self, script, *arguments):
        """Value of a script in the page."""
        return self.post("/execute/sync", {"script": script, "args": arguments})

    def command(self, name, **values):
        """Answer of a command of the DevTools protocol."""
        return self.post("/goog/cdp/execute", {"cmd": name, "params": values})

    def log(self, kind):
        return self.post("/se/log", {"type": kind})

    def resize(self, width):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.command("Emulation.setDeviceMetricsOverride", **size)


@pytest.fixture(scope="module")
def browser(finished, tmp_path_factory):
    """The finished study's report in a browser."""
    driver = subprocess.Popen(
        [DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        port = next(
            found[1] for line in driver.stdout if (found := re.search(r"port (\d+)\.", line))
        )
        browser = Browser(port, tmp_path_factory.mktemp("profile"))
        browser.post("/url", {"url": (finished.path / "results/tiny/report.html").as_uri()})
        yield browser
        urllib.request.urlopen(urllib.request.Request(browser.address, method="DELETE"), timeout=60)
    finally:
        driver.terminate()
        driver.wait(timeout=60)


def test_nothing_is_complained_of_and_nothing_asked_for_outside_the_file(browser):
    assert browser.log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.log("performance")]
    asked = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    # The others are those of the browser's own start page.
    asked = [request for request in asked if request["documentURL"].startswith("file:")]
    schemes = [request["request"]["url"].split(":")[0] for request in asked]
    assert schemes.count("file") == 1
    assert set(schemes) == {"file", "data"}


def test_all_images_load(browser):
    widths = browser.run("return Array.from(document.images, image => image.naturalWidth)")
    assert len(widths) == browser.run("return document.querySelectorAll('figure').length") > 10
    assert min(widths) > 0


COLUMN = """
const table = document.getElementById(arguments[0]);
const names = Array.from(table.tHead.rows[0].cells, cell => cell.textContent.trim());
return Array.from(table.tBodies[0].rows, row => row.cells[names.indexOf(arguments[1])].textContent);
"""
CLICK = """
const cells = Array.from(document.getElementById(arguments[0]).tHead.rows[0].cells);
const cell = cells.find(cell => cell.textContent.trim() === arguments[1]);
cell.querySelector("button").click();
return cell.getAttribute("aria-sort");
"""


def test_a_link_unfolds_its_section_and_folds_the_others(browser):
    script = """
    location.hash = arguments[0];
    return new Promise(done => setTimeout(() => done(
      Array.from(document.querySelectorAll("main > details[open]"), section => section.id)), 200));
    """
    assert browser.run(script, "data-title") == ["data"]
    assert browser.run(script, "runs-title") == ["all-runs"]
    assert browser.run(script, "") == ["all-runs"]


def test_a_link_unfolds_a_figure_and_what_it_is_in(browser):
    script = """
    location.hash = "figure-firmness";
    return new Promise(done => setTimeout(() => {
      const figure = document.getElementById("figure-firmness").getBoundingClientRect();
      done([figure.height, Math.abs(figure.top)]);
    }, 200));
    """
    height, top = browser.run(script)
    assert height > 100 > top


def test_the_page_is_short(browser):
    """Folded, and with each of its sections open, one after the other."""
    script = """
    const sections = Array.from(document.querySelectorAll("main > details"));
    for (const each of sections) each.open = false;
    return [null, ...sections].map(section => {
      if (section) section.open = true;
      return document.documentElement.scrollHeight;
    });
    """
    browser.resize(1440)
    assert max(browser.run(script)) < 10 * 900


def test_no_table_is_wider_than_its_frame(browser):
    browser.resize(1440)
    script = """
    const tables = Array.from(document.querySelectorAll("table"));
    for (const each of document.querySelectorAll("main details")) {
      each.removeAttribute("name");
      each.open = true;
    }
    return tables.filter(t => t.offsetWidth > t.parentElement.clientWidth + 1).map(t => t.id);
    """
    assert browser.run(script) == []


def test_every_table_with_buttons_sorts(browser):
    tables = browser.run("return Array.from(document.querySelectorAll('.sortable'), t => t.id)")
    assert {"claims", "best", "runs", "follow-ups", "timings", "published"} < set(tables)
    column = browser.run(COLUMN, "runs", "Test, %")
    assert browser.run(CLICK, "runs", "Test, %") == "ascending"
    assert browser.run(COLUMN, "runs", "Test, %") == sorted(column, key=float)
    assert browser.run(CLICK, "runs", "Test, %") == "descending"
    assert browser.run(COLUMN, "runs", "Test, %") == sorted(column, key=float, reverse=True)
    names = browser.run(COLUMN, "timings", "Sweep")
    browser.run(CLICK, "timings", "Sweep")
    assert sorted(browser.run(COLUMN, "timings", "Sweep")) == sorted(names)


def test_tables_are_filtered_by_words(browser):
    script = """
    const input = document.getElementById("runs-filter");
    input.value = arguments[0];
    input.dispatchEvent(new Event("input"));
    return document.getElementById("runs-shown").textContent;
    """
    assert browser.run(script, "kan orthogonal") == "3 of 18"
    assert set(browser.run(COLUMN, "runs", "Initialization")) == {"orthogonal"}
    assert browser.run(script, "") == "18 of 18"


@pytest.mark.parametrize("width", [360, 1440])
def test_the_page_is_as_wide_as_the_window(browser, width):
    browser.resize(width)
    assert browser.run("return window.innerWidth") == width
    assert browser.run("return document.documentElement.scrollWidth") <= width
    picture = base64.b64decode(browser.command("Page.captureScreenshot")["data"])
    assert picture.startswith(b"\x89PNG")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(browser, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.command("Emulation.setEmulatedMedia", features=features)
    script = "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
    text, page = (
        sum(map(int, re.findall(r"\d+", colour)[:3])) / (3 * 255) for colour in browser.run(script)
    )
    assert (page - text if scheme == "light" else text - page) > 0.6


def test_it_prints(browser):
    pages = base64.b64decode(browser.post("/print", {}))
    assert pages.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", pages)) > 3


def test_hatches_and_pale_faces_are_seen_in_an_svg_in_light_and_dark(browser, tmp_path):
    """As Chromium renders it: within a box of HSIC the colour of its edge, in one without not."""
    figure = Figure(figsize=(2, 1), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    colour = style.PALETTE[0]
    for place, objective in enumerate(("backprop", "hsic")):
        face = {"fc": style.pale(colour), "ec": colour, "hatch": hatch(objective)}
        axes.add_patch(Rectangle((place + 0.1, 0.1), 0.8, 0.8, **face))
    axes.set_xlim(0, 2)
    settings = {"dpi": 100, "font_size": 9, "font_family": "DejaVu Sans", "width_inches": 2}
    style.save(figure, tmp_path / "x.svg", settings)
    for scheme, page in (("light", "white"), ("dark", "#15191d")):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.command("Emulation.setEmulatedMedia", features=features)
        browser.post("/url", {"url": (tmp_path / "x.svg").as_uri()})
        shown = base64.b64decode(browser.command("Page.captureScreenshot")["data"])
        pixels = imread(BytesIO(shown))[:, :, :3]
        box = browser.run(
            "const b = document.documentElement.getBoundingClientRect();"
            "return [b.x, b.y, b.width, b.height]"
        )
        height, width = round(box[3]), round(box[2])
        pixels = pixels[round(box[1]) :, round(box[0]) :][:height, :width]
        plain, hatched = (
            pixels[height // 4 : -height // 4, round(start * width) : round(end * width)]
            for start, end in ((0.1, 0.4), (0.6, 0.9))
        )
        face, edge = (np.array(to_rgb(each)) for each in (style.pale(colour, page), colour))
        assert np.abs(plain - face).max() < 0.02
        lines = np.abs(hatched - edge).max(axis=2) < 0.1
        assert 0.02 < lines.mean() < 0.6
