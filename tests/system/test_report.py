"""`ganymede report`: both pages in Chromium, at a phone's and a desk's width, light and dark. SCREENSHOTS names a folder
that is to keep the pictures."""

import json
import os
import pathlib
import shutil

import pytest

from browser import Browser
from ganymede_runs import DIGITS, refusal, run, sampling, succeed, training

WIDTHS = [390, 1440]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "<b>run & more"
    succeed(1, *sampling(2, training(out, "--checkpoint.every", 4, "--sample.count", 20, steps=4)))
    succeed(1, *sampling(2, training(out, "--checkpoint.every", 4, "--sample.count", 20, steps=8)))
    scores = [{"step": step, "metrics": {"fid": {"value": 100 / step, "error": 2, "features": "random"}, "kid": {"value": 0.5 / step}},
               "protocol": {"images": {"count": 500}, "warnings": ["<few> images"]}} for step in (2, 4, 8)]
    (out / "metrics.jsonl").write_text("".join(json.dumps(score) + "\n" for score in scores))
    return out


@pytest.fixture(scope="module")
def browser():
    with Browser() as chromium:
        yield chromium


@pytest.fixture(autouse=True)
def no_problems(request):
    yield
    if "browser" in request.fixturenames:
        problems = request.getfixturevalue("browser").problems
        found, problems[:] = list(problems), []
        assert not found, found


def keep(browser, name):
    if folder := os.environ.get("SCREENSHOTS"):
        browser.screenshot(pathlib.Path(folder) / f"{name}.png")


def texts(browser, selector):
    return browser.evaluate(f"Array.from(document.querySelectorAll({selector!r}), e => e.textContent)")


def overlaps(browser):
    """Pairs of texts of one chart that lie over each other."""
    return browser.evaluate("""Array.from(document.querySelectorAll('.chart svg')).flatMap(svg => {
      const all = Array.from(svg.querySelectorAll('text'), t => [t.textContent, t.getBoundingClientRect()]);
      return all.flatMap(([a, p], i) => all.slice(i + 1).filter(([b, q]) =>
        p.left < q.right && q.left < p.right && p.top + 3 < q.bottom && q.top + 3 < p.bottom).map(([b]) => [a, b]));
    })""")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_run(trained, browser, width, dark):
    result = succeed(0, "report", trained)
    assert result.out.strip() == str(trained / "report.html")
    browser.open(trained / "report.html", width, dark=dark)
    keep(browser, f"report-{width}{'-dark' if dark else ''}")
    assert browser.overflow() <= 0
    assert browser.evaluate("document.title") == "<b>run & more – Ganymede"
    assert texts(browser, "h1") == ["<b>run & more"]
    assert texts(browser, "h2") == ["Scores", "Samples", "Training", "Options", "Environment"]
    charts = texts(browser, ".chart h3")
    assert charts[:3] == ["FID (random features)", "KID", "Losses"] and "Gradient norms" in charts and "Speed (images/s)" in charts
    assert texts(browser, ".tile .value")[0] == "8"
    assert overlaps(browser) == []
    assert "images.count" in texts(browser, "details th") and "<few> images" in texts(browser, "p.soft")
    outside = browser.evaluate("""Array.from(document.querySelectorAll('.chart svg text')).filter(t => {
      const a = t.getBoundingClientRect(), b = t.ownerSVGElement.getBoundingClientRect();
      return a.left < b.left - 1 || a.right > b.right + 1 || a.bottom > b.bottom + 1; }).map(t => t.textContent)""")
    assert outside == []
    # Each control has a name, each picture a text.
    assert browser.evaluate("""Array.from(document.querySelectorAll('input, button, svg, img')).filter(e =>
      !(e.getAttribute('aria-label') || e.alt || e.textContent || e.closest('label'))).length""") == 0


def test_controls(trained, browser):
    succeed(0, "report", trained)
    browser.open(trained / "report.html")
    log = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    losses = "Array.from(document.querySelectorAll('.chart')).find(c => c.querySelector('h3').textContent === 'Losses')"
    # The pointer in the middle of the axis reads the step there.
    x, y = browser.evaluate(f"""(() => {{ const c = {losses}.querySelector('svg'); c.scrollIntoView({{block: 'center'}});
      const b = c.getBoundingClientRect(); return [b.left + b.width * .55, b.top + 50]; }})()""")
    browser.hover(x, y)
    where = browser.evaluate(f"{losses}.querySelector('.where').textContent")
    step = int(where.split()[1])
    assert 3 <= step <= 6 and f"{log[step - 1]['images']} images" in where
    value = float(browser.evaluate(f"{losses}.querySelector('.legend b').textContent"))
    assert value == pytest.approx(log[step - 1]["loss_d"], rel=1e-3)
    # So do the arrow keys.
    browser.evaluate(f"{losses}.querySelector('svg').focus()")
    browser.hover(1, 1)
    browser.press("Home")
    assert browser.evaluate(f"{losses}.querySelector('.where').textContent").startswith("step 1 ")
    browser.press("ArrowRight")
    assert browser.evaluate(f"{losses}.querySelector('.where').textContent").startswith("step 2 ")
    # Smoothing and the logarithm change the curve.
    curve = f"{losses}.querySelector('path:not(.faint)').getAttribute('d')"
    seen = {browser.evaluate(curve)}
    browser.evaluate("""document.querySelectorAll('.tools input').forEach(i => { if (i.type === 'range') { i.value = .9;
      i.dispatchEvent(new Event('input')); } })""")
    seen.add(browser.evaluate(curve))
    browser.evaluate("document.querySelector('.tools input[type=checkbox]').click()")
    seen.add(browser.evaluate(curve))
    assert len(seen) == 3
    # The slider goes through the grids.
    assert texts(browser, ".samples b") == ["step 8"]
    last = browser.evaluate("document.querySelector('.samples img').src")
    browser.evaluate("document.querySelector('.samples button').click()")
    assert texts(browser, ".samples b") == ["step 6"]
    assert browser.evaluate("document.querySelector('.samples img').src") != last
    assert browser.evaluate("document.querySelector('.samples img').decode().then(() => 1)") == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_a_run_without_samples_scores_or_reports(trained, browser, tmp_path, width):
    for name in ("config.cfg", "starts.jsonl"):
        shutil.copy(trained / name, tmp_path)
    succeed(0, "report", tmp_path)
    browser.open(tmp_path / "report.html", width)
    assert browser.overflow() <= 0
    assert texts(browser, "h2") == ["Options", "Environment"]
    assert "nothing yet" in browser.evaluate("document.body.textContent")
    shutil.copy(trained / "log.jsonl", tmp_path)
    with open(tmp_path / "log.jsonl", "a") as log:
        log.write('{"step": 9, "lo')
    result = succeed(0, "report", tmp_path, "--out", tmp_path / "other.html")
    assert result.out.strip() == str(tmp_path / "other.html")
    browser.open(tmp_path / "other.html", width)
    assert texts(browser, "h2") == ["Training", "Options", "Environment"]
    assert texts(browser, ".tile .value")[0] == "8"


def test_a_long_run_stays_small(browser, tmp_path):
    with open(tmp_path / "log.jsonl", "w") as log:
        for step in range(1, 30001):
            log.write(json.dumps({"step": step, "images": step * 64, "seconds": step / 10, "loss_d": step % 7 + 1 / step,
                                  "same": 0.39945122599601746, "zero": 0.0}) + "\n")
    succeed(0, "report", tmp_path)
    assert (tmp_path / "report.html").stat().st_size < 200_000
    browser.open(tmp_path / "report.html")
    assert "mean of 32 reports" in browser.evaluate("document.body.textContent")
    assert texts(browser, ".tile .value")[:3] == ["30,000", "1,920,000", "50 min"]
    assert browser.evaluate("document.querySelectorAll('.chart text').length") < 60


def answers(browser, *right):
    """Answers each image of the page rightly or wrongly and returns the result."""
    browser.evaluate("document.querySelector('button.main').click()")
    for i, is_right in enumerate(right):
        real = browser.evaluate(f"truth({i})")
        browser.press("r" if real == is_right else "g")
    return json.loads(browser.evaluate("document.getElementById('result').value"))


@pytest.mark.parametrize("width", WIDTHS)
def test_the_human_test(trained, browser, tmp_path, width):
    page = tmp_path / "test.html"
    succeed(1, "report", "--compare", trained, "--reference", DIGITS, "--count", 10, "--seed", 3, "--out", page)
    browser.open(page, width)
    keep(browser, f"compare-begin-{width}")
    browser.evaluate("document.querySelector('button.main').click()")
    browser.settle()
    keep(browser, f"compare-{width}")
    assert browser.overflow() <= 0
    shown = browser.evaluate("(i => [i.getBoundingClientRect().width, i.naturalWidth, getComputedStyle(i).imageRendering])"
                             "(document.querySelector('.stage img'))")
    assert shown[1] == 32 and shown[0] % 32 == 0 and shown[0] >= 300 and shown[2] == "pixelated", shown
    browser.open(page, width)
    found = answers(browser, *[True] * 8, *[False] * 2)
    browser.settle()
    keep(browser, f"compare-end-{width}")
    assert browser.overflow() <= 0
    assert found["right"] == 8 and found["answered"] == 10 and found["accuracy"] == 0.8
    assert found["accuracy_95_percent_wilson"] == pytest.approx([0.4901624715, 0.9433178485], abs=1e-9)
    confusion = found["confusion"]
    assert sum(confusion.values()) == 10
    assert confusion["real_taken_for_generated"] + confusion["generated_taken_for_real"] == 2
    truths = [answer["truth"] for answer in found["answers"]]
    assert confusion["real_taken_for_real"] + confusion["real_taken_for_generated"] == truths.count("real") == 5
    assert len(texts(browser, ".fooled figure")) == 2


def test_back_and_end(trained, browser, tmp_path):
    page = tmp_path / "test.html"
    succeed(0, "report", "--compare", DIGITS, "--reference", DIGITS, "--count", 6, "--out", page)
    browser.open(page)
    browser.evaluate("document.querySelector('button.main').click()")
    for key in "rbgg":
        browser.press(key)
    browser.evaluate("Array.from(document.querySelectorAll('button')).find(b => b.textContent === 'End here').click()")
    found = json.loads(browser.evaluate("document.getElementById('result').value"))
    assert [answer["answer"] for answer in found["answers"]] == ["generated", "generated"]


def test_the_same_seed_makes_the_same_test_at_any_rank_count(trained, tmp_path):
    pages = []
    for name, ranks, seed in (("a", 1, 1), ("b", 2, 1), ("c", 1, 2)):
        page = tmp_path / name
        succeed(ranks, "report", "--compare", trained, "--reference", DIGITS, "--count", 9, "--seed", seed, "--out", page)
        text = page.read_text().split('id="data">')[1].split("</script>")[0]
        pages.append([image["tag"] for image in json.loads(text)["images"]])
    assert pages[0] == pages[1] != pages[2]


def test_wrong_input(trained, tmp_path):
    assert "name the folder of a run" in refusal(5, 0, "report", tmp_path)
    assert "name a run folder" in refusal(5, 0, "report", tmp_path / "absent")
    assert "name one run" in refusal(2, 0, "report")
    assert "--reference is missing" in refusal(2, 0, "report", "--compare", trained)
    assert "--seed goes with --compare" in refusal(2, 0, "report", trained, "--seed", 1)
    assert "lower --count" in refusal(2, 0, "report", "--compare", trained, "--reference", DIGITS, "--count", 10000)
    assert not (trained / "compare.html").exists()
    assert run(0, "report", trained, "--out", tmp_path / "absent" / "x.html").code == 5
    succeed(0, "report", "--help")
