"""The page of `keras-gan demo`: what it shows, without a browser and in one."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
from PIL import Image

import keras_gan
from keras_gan.commands.demo import ENLARGED, Page
from keras_gan.conditions import Vector

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def page():
    return Page(keras_gan.from_preset("projection_fashion_mnist"))


def small(picture):
    """The picture without its enlargement: of 4 images of 28×28, with a gap of 2."""
    times = ENLARGED // 58
    assert picture.shape == (58 * times, 58 * times)
    return picture[::times, ::times]


def test_samples_are_what_generate_gives(page):
    drawn = page.gan.generate(4, seed=3, condition=[0, 1, 2, 3])
    np.testing.assert_allclose(small(page.samples(3, 4))[:28, :28], drawn[0, ..., 0], atol=1)
    bags = page.samples(3, 4, "bag")
    drawn = page.gan.generate(4, seed=3, condition="bag")
    np.testing.assert_allclose(small(bags)[30:, 30:], drawn[3, ..., 0], atol=1)
    typical = [page.samples(seed, 4, "bag", 0.0) for seed in (3, 4)]
    np.testing.assert_array_equal(*typical)


def test_a_walk_goes_to_the_other_seed_and_back(page):
    with Image.open(page.walk(3, 4, 4, "bag")) as walk:
        frames = []
        for number in range(walk.n_frames):
            walk.seek(number)
            frames.append(np.asarray(walk.convert("L"), "int16"))
    first, there = (page.samples(seed, 4, "bag").astype("int16") for seed in (3, 4))
    middle = np.abs(frames[len(frames) // 2] - there).mean()
    assert np.abs(frames[0] - first).mean() < 8 and middle < 8 < np.abs(first - there).mean()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((-1, 4), "The seed"),
        ((0, 0), "number of images"),
        ((0, 1000), "1…256"),
        ((0, None), "None"),
    ],
)
def test_what_a_page_cannot_show_is_one_sentence(page, arguments, words):
    with pytest.raises(ValueError, match=words) as caught:
        page.samples(*arguments)
    assert len(str(caught.value)) < 200


def test_a_picture_of_any_size_is_repaired():
    page = Page(keras_gan.from_preset("inpainting_fashion_mnist"))
    picture = keras_gan.datasets.load("fashion_mnist_10k")[0, ..., 0].repeat(3, axis=0)
    shown = page.translate(np.stack(3 * [picture], axis=2), seed=0)
    times = ENLARGED // 58
    given, made = shown[::times, : 28 * times : times], shown[::times, 30 * times :: times]
    assert given.shape == made.shape == (28, 28)
    different = given != made
    assert 0.02 < different.mean() < 0.8  # What is around the holes stays.
    with pytest.raises(ValueError, match="Choose a picture"):
        page.translate(None, 0)


def test_vectors_have_no_field():
    class Model:
        condition = Vector(3)

    with pytest.raises(ValueError, match="no field"):
        Page(Model())


@pytest.fixture
def browser():
    """A browser without a window, which notes what it asks for."""
    from selenium import webdriver

    driver = shutil.which("chromedriver")
    assert driver, "Debian's packages chromium and chromium-driver are needed."
    options = webdriver.ChromeOptions()
    for option in ("--headless=new", "--no-sandbox", "--window-size=900,1300"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield browser
    browser.quit()


class Opened:
    """The page of a preset in a browser."""

    def __init__(self, browser, address):
        from selenium.webdriver.support.ui import WebDriverWait

        self.browser, self.address = browser, address
        self.wait = WebDriverWait(browser, 60)
        browser.get(address)

    def find(self, selector):
        return self.wait.until(lambda b: b.find_elements("css selector", selector))[0]

    def type(self, selector, text):
        """Types a text in place of what a field contains."""
        from selenium.webdriver.common.keys import Keys

        self.find(selector).send_keys(Keys.CONTROL, "a")  # Held until the end of the call.
        self.find(selector).send_keys(text, Keys.TAB)

    def picture(self, button, place, before=None):
        """Clicks a button; returns the address of the picture that replaces the one before."""
        self.find(button).click()

        def source(_):
            shown = self.browser.find_elements("css selector", f"{place} img")
            return next((s for s in (i.get_attribute("src") for i in shown) if s != before), None)

        return self.wait.until(source)

    def sentence(self, button):
        """Clicks a button; returns what the page says is wrong."""
        self.find(button).click()
        return self.wait.until(lambda _: self.find(".toast-wrap").text)

    def check(self):
        """No errors in the console, and nothing asked of other machines."""
        assert not [e for e in self.browser.get_log("browser") if e["level"] == "SEVERE"]
        events = [json.loads(e["message"])["message"] for e in self.browser.get_log("performance")]
        sent = [e for e in events if e["method"] == "Network.requestWillBeSent"]
        asked = [event["params"]["request"]["url"] for event in sent]
        assert len(asked) > 5
        own = (self.address, "data:", "blob:")
        assert not [address for address in asked if not address.startswith(own)]


@contextlib.contextmanager
def opened(browser, preset):
    command = [sys.executable, "-m", "keras_gan_cli", "demo", preset]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            line = server.stdout.readline()
            address = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert address, line
            page = Opened(browser, address[0])
            yield page
            page.check()
        finally:
            server.terminate()


@pytest.mark.full
def test_samples_and_a_walk_in_a_browser(browser, tmp_path):
    with opened(browser, "projection_fashion_mnist") as page:
        first = page.picture("#make", "#made")
        page.type("#seed input", "7")
        second = page.picture("#make", "#made", first)
        assert "webp" in page.picture("#walk", "#walked")
        with urllib.request.urlopen(second) as response, Image.open(response) as shown:
            assert max(shown.size) >= ENLARGED // 2 and len(np.unique(shown)) > 100
        browser.save_screenshot(str(tmp_path / "demo.png"))
        page.type("#seed input", "-1")
        assert "The seed must be a whole number in 0…4294967295; got -1." in page.sentence("#make")
    assert (tmp_path / "demo.png").stat().st_size > 10_000


@pytest.mark.full
def test_a_picture_is_uploaded_in_a_browser(browser, tmp_path):
    picture = keras_gan.datasets.load("fashion_mnist_10k")[0, ..., 0].repeat(3, axis=0)
    Image.fromarray(picture).save(tmp_path / "shirt.png")
    with opened(browser, "inpainting_fashion_mnist") as page:
        assert "Choose a picture first." in page.sentence("#make")
        page.find("#given input[type=file]").send_keys(str(tmp_path / "shirt.png"))
        page.find("#given img")
        first = page.picture("#make", "#made")
        page.type("#seed input", "7")  # Other holes.
        assert page.picture("#make", "#made", first) != first
        browser.save_screenshot(str(tmp_path / "translated.png"))
