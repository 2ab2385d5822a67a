"""The page of a study as a browser shows it. Needs chromium with its driver, and selenium."""

import shutil

import pytest

pytest.importorskip("jinja2", reason="needs the extra [report]")
pytest.importorskip("PIL", reason="needs the extra [report]")
pytest.importorskip("selenium", reason="needs selenium")
from selenium.webdriver import ActionChains, Chrome, ChromeOptions, ChromeService, Keys  # noqa: E402  # after the skip
from selenium.webdriver.common.by import By  # noqa: E402  # after the skip
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402  # after the skip
from support.report_study import NAMES, make_study  # noqa: E402  # after the skip

from graphreg.study.report import write_report  # noqa: E402  # after the skip

DRIVER = shutil.which("chromedriver")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not DRIVER or not BROWSER, reason="needs chromium and chromedriver"),
]
HASH = "const c = arguments[0]; return c.toDataURL()"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium with the page open and its pictures drawn."""
    folder = make_study(tmp_path_factory.mktemp("browser"))
    write_report(folder, folder / "report.html")
    options = ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=ChromeService(DRIVER))
    try:
        driver.get((folder / "report.html").as_uri())
        WebDriverWait(driver, 30).until(
            lambda d: len(d.find_elements(By.CSS_SELECTOR, ".views[data-drawn]")) == len(NAMES)
        )
        yield driver
    finally:
        driver.quit()


def find(browser, selector):
    return browser.find_element(By.CSS_SELECTOR, selector)


def test_nothing_is_complained_of_and_no_script_of_a_name_ran(browser):
    assert browser.get_log("browser") == []
    assert browser.title == "Study of phantoms"  # no alert is open
    fetched = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert all(name.startswith("data:") for name in fetched)


def test_the_slider_and_the_checkerboard_change_the_picture(browser):
    canvas, slider = find(browser, ".views canvas"), find(browser, ".blend")
    after = browser.execute_script(HASH, canvas)
    slider.send_keys(Keys.HOME)
    before = browser.execute_script(HASH, canvas)
    find(browser, ".checker").send_keys(Keys.SPACE)
    squares = browser.execute_script(HASH, canvas)
    assert len({after, before, squares}) == 3
    find(browser, ".checker").send_keys(Keys.SPACE)
    slider.send_keys(Keys.END)
    assert browser.execute_script(HASH, canvas) == after


def test_where_both_images_agree_the_picture_is_grey(browser):
    """The exact motion leaves less colour than none."""
    colour = """const c = arguments[0], p = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
      let sum = 0; for (let i = 0; i < p.length; i += 4) sum += Math.abs(p[i] - p[i + 1]); return sum"""
    canvas, slider = find(browser, ".views canvas"), find(browser, ".blend")
    after = browser.execute_script(colour, canvas)
    slider.send_keys(Keys.HOME)
    before = browser.execute_script(colour, canvas)
    slider.send_keys(Keys.END)
    assert 0 < after < 0.7 * before


def test_a_header_sorts_by_click_and_by_key(browser):
    def column(number):
        cells = browser.find_elements(By.CSS_SELECTOR, f"#results-table tbody td:nth-child({number})")
        return [cell.get_attribute("data-value") for cell in cells]

    assert column(1) == list(NAMES)
    headers = browser.find_elements(By.CSS_SELECTOR, "#results-table th")
    headers[0].find_element(By.TAG_NAME, "button").click()
    assert column(1) == sorted(NAMES)
    button = headers[3].find_element(By.TAG_NAME, "button")
    button.send_keys(Keys.ENTER)
    rising = [float(value) for value in column(4)]
    assert rising == sorted(rising)
    assert headers[3].get_attribute("aria-sort") == "ascending"
    assert headers[0].get_attribute("aria-sort") is None
    button.send_keys(Keys.ENTER)
    assert [float(value) for value in column(4)] == rising[::-1]


def test_keys_and_the_mouse_turn_the_keypoints(browser):
    figure, canvas = find(browser, ".cloud"), find(browser, ".cloud canvas")
    front = figure.get_attribute("data-view")
    canvas.send_keys(Keys.ARROW_RIGHT)
    turned = figure.get_attribute("data-view")
    ActionChains(browser).move_to_element(canvas).click_and_hold().move_by_offset(40, 20).release().perform()
    dragged = figure.get_attribute("data-view")
    assert len({front, turned, dragged}) == 3
    canvas.send_keys(Keys.HOME)
    assert figure.get_attribute("data-view") == front


def test_the_keyboard_reaches_every_control(browser):
    focusable = "a[href], button, input, summary, [tabindex='0']:not(details:not([open]) pre)"
    assert browser.execute_script(
        f'return [...document.querySelectorAll("{focusable}")].every((e) => (e.focus(), document.activeElement === e))'
    )


def test_a_narrow_window_needs_no_scrolling_sideways(browser):
    browser.set_window_size(500, 900)
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    browser.set_window_size(1200, 900)
