"""The report in a real browser: no error, nothing from elsewhere, nothing wider than the screen, and a click on a
neuron shows its trace."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

import hypr

CHROMIUM, DRIVER = shutil.which("chromium") or "", shutil.which("chromedriver") or ""
pytestmark = [
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="no chromium and chromedriver here (Debian: apt install chromium-driver)"
    ),
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Of a network from a loop of one's own."""
    draw = np.random.default_rng(0)
    y = draw.integers(3, size=90)
    x = (draw.random((90, 60, 6)) < 0.05 + 0.3 * (np.arange(6) % 3 == y[:, None])[:, None]).astype(np.uint8)
    torch.manual_seed(0)
    net = hypr.Network([hypr.BRF(6, 24), hypr.LI(24, 3)], decision={"rule": "sum"})
    hypr.fit_activity_(net, torch.from_numpy(x[:32]).float())
    out = tmp_path_factory.mktemp("report") / "bundle"
    return hypr.deploy(net, out, calibration=x[:32], test=(x[32:], y[32:]), engines=("emulator",)).report


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["desk", "phone"])
def browser(request, report):
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (the extra 'dev')")
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    width, scheme = request.param
    options = Options()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = selenium.Chrome(options=options, service=Service(DRIVER))
    try:
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get(report.as_uri())
        yield driver
    finally:
        driver.quit()


def _wait(driver, script):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(driver, 20).until(lambda it: it.execute_script(script))


def test_a_click_on_a_neuron_shows_its_trace(browser):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    _wait(browser, "return document.querySelector('.explorer').dataset.ready")
    said = browser.find_element(By.CSS_SELECTOR, "[data-part=said]")
    canvas = browser.find_element(By.CSS_SELECTOR, "[data-part=raster]")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    ActionChains(browser).move_to_element_with_offset(canvas, 10, canvas.size["height"] // 2 - 3).click().perform()
    assert "hidden0, neuron 0, state u" in said.text
    assert browser.execute_script("return document.querySelectorAll('.explorer .uplot canvas').length") == 1
    drawn = """
        const c = document.querySelector('.uplot canvas');
        return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v)
    """
    assert browser.execute_script(drawn)

    choose = """
        const box = document.querySelector('[data-part=layer]');
        box.value = 1;
        box.dispatchEvent(new Event('change'));
        return box.options.length
    """
    assert browser.execute_script(choose) == 2
    assert "readout, neuron 0, state u" in said.text


CHIP = "const part = [...document.querySelectorAll('section')].find(s => s.innerText.startsWith('Where it fits'));"


def test_the_picture_of_the_chip_reads_on_every_screen(browser):
    _wait(browser, "return document.readyState === 'complete'")
    drawn = browser.execute_script(
        CHIP
        + """
        const svg = part.querySelector('svg'), box = svg.getBoundingClientRect(), page = part.getBoundingClientRect();
        const words = [...svg.querySelectorAll('text')].map(it => [it.textContent, it.getBoundingClientRect().height]);
        const mark = [...svg.querySelectorAll('text')].find(it => it.textContent.includes('%'));
        return {
            words, colour: getComputedStyle(mark).fill, ink: getComputedStyle(document.body).color,
            inside: box.left >= page.left && box.right <= page.right, width: box.width, text: part.innerText
        }
        """
    )
    assert drawn["inside"] and drawn["width"] > 200, "nothing to scroll for a network on one core"
    assert {"hidden0", "readout"} <= {word for word, _ in drawn["words"]}
    assert min(height for _, height in drawn["words"]) >= 9
    assert drawn["colour"] == drawn["ink"], "the words follow light and dark"
    assert "It fits. 1 of 120 cores of one chip is used; no plan does with fewer than 1." in drawn["text"]
    assert "Shown: 4 of the 32 tiles" in drawn["text"]


def test_the_cost_names_its_sources_beside_the_dense_float_network(browser):
    cost = browser.execute_script(
        "return [...document.querySelectorAll('section')].find(s => s.innerText.startsWith('What it costs')).innerText"
    )
    for words in (
        "recorded samples of 60 steps", "synaptic operations", "neuron updates", "messages (spike, core)", "hops",
        "multiply-accumulates of the dense float network", "step (us)", "energy (uJ)", "confidence D. Source: Davies",
        "Not counted:", "MembraneUpdates", "Effective_ACs", "ClassificationAccuracy",
    ):  # fmt: skip
        assert words in cost, words


def test_the_page_has_no_error_asks_no_other_host_and_fits_the_screen(browser):
    _wait(browser, "return document.querySelector('.explorer').dataset.ready")
    assert browser.get_log("browser") == []
    asked = [
        entry["message"] for entry in browser.get_log("performance") if "Network.requestWillBeSent" in entry["message"]
    ]
    assert asked and not [
        message for message in asked if "http://" in message or "https://" in message.replace("https://www.w3.org", "")
    ]
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
