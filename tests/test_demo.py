"""The page of `keras-gan demo`: what it shows, without a browser and in one."""

import os
import re
import shutil
import subprocess
import sys

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


@pytest.mark.full
def test_in_a_browser(tmp_path):
    """Clicks, a new picture for another seed, and no errors in the browser's console."""
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    driver = shutil.which("chromedriver")
    assert driver, "Debian's packages chromium and chromium-driver are needed."
    command = [sys.executable, "-m", "keras_gan_cli", "demo", "projection_fashion_mnist"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            address = re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline())[0]
            options = webdriver.ChromeOptions()
            for option in ("--headless=new", "--no-sandbox", "--window-size=900,1300"):
                options.add_argument(option)
            options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
            browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
            try:
                browser.get(address)
                wait = WebDriverWait(browser, 60)

                def find(selector):
                    return wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, selector))[0]

                def picture(button, place, before=None):
                    find(button).click()
                    image = f"{place} img"
                    wait.until(lambda _: find(image).get_attribute("src") != before)
                    return find(image).get_attribute("src")

                first = picture("#make", "#made")
                find("#seed input").send_keys(Keys.END, "7", Keys.TAB)
                assert picture("#make", "#made", first) != first
                assert "webp" in picture("#walk", "#walked")
                browser.save_screenshot(str(tmp_path / "demo.png"))
                assert not [e for e in browser.get_log("browser") if e["level"] == "SEVERE"]
            finally:
                browser.quit()
        finally:
            server.terminate()
    assert (tmp_path / "demo.png").stat().st_size > 10_000
