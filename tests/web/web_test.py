"""The web page in headless Chromium, against a real server and worker.

    python3 tests/web/web_test.py BIN_DIR SOURCE_DIR [SCREENSHOT_DIR]

Exits with 77 (skipped) where there is no chromium. With SCREENSHOT_DIR it
leaves pictures of every view there, wide and narrow, light and dark.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import urllib.request

import browser

BIN, SOURCE = (sys.argv + ["", ""])[1:3]
PICTURES = sys.argv[3] if len(sys.argv) > 3 else None
PROGRAMS = ["kdtree_nn", "zlib_deflate"]


class Service:
    """A server with the bundled model, a worker, and the bundled traces."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="perfvec_web_")
        self.server = subprocess.Popen(
            [f"{BIN}/server/perfvec-server", "--data-dir", self.dir + "/data",
             "--listen", "127.0.0.1:0", "--metrics-listen", "",
             "--http-listen", "127.0.0.1:0",
             "--model", f"{SOURCE}/deploy/models/default"],
            stderr=subprocess.PIPE, text=True)
        said = ""
        while "web page" not in said:
            line = self.server.stderr.readline()
            if not line:
                raise RuntimeError("no server: " + said)
            said += line
        self.address = re.search(r"listening on (\S+)", said).group(1)
        self.url = re.search(r"on (http://[0-9.:]+)/", said).group(1)
        self.worker = subprocess.Popen(
            [f"{BIN}/worker/perfvec-worker", "run", "--server", self.address,
             "--model-cache", self.dir + "/models"],
            stderr=subprocess.DEVNULL)
        sample = f"{SOURCE}/deploy/samples"
        self.perfvec("import", "--trace", sample + "/kdtree_nn/trace.txt.zst",
                     "--store", sample + "/kdtree_nn/trace.sq.txt.zst",
                     "-o", self.dir + "/kdtree_nn.pvt")
        self.perfvec("upload", self.dir + "/kdtree_nn.pvt", "--program",
                     PROGRAMS[0], "--wait")
        self.perfvec("upload", sample + "/zlib_deflate.pvt", "--program",
                     PROGRAMS[1], "--wait")

    def perfvec(self, *arguments):
        subprocess.run([f"{BIN}/client/perfvec", "--server", self.address,
                        *arguments], check=True, stdout=subprocess.DEVNULL)

    def get(self, path):
        with urllib.request.urlopen(self.url + path) as answer:
            return json.load(answer)

    def send(self, method, path, message):
        with urllib.request.urlopen(urllib.request.Request(
                self.url + path, json.dumps(message).encode(),
                {"Content-Type": "application/json"}, method=method)) as answer:
            return json.load(answer)

    def stop(self):
        for process in (self.worker, self.server):
            process.terminate()
            process.wait(60)
        self.server.stderr.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class WebTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service()
        cls.addClassCleanup(cls.service.stop)
        cls.page = browser.Browser()
        cls.addClassCleanup(cls.page.__exit__)

    def setUp(self):
        self.page.size(1100, 900)
        self.page.errors.clear()

    def tearDown(self):
        self.assertEqual(self.page.errors, [])

    def show(self, view, condition):
        self.page.open("about:blank")
        self.page.open(f"{self.service.url}/#/{view}")
        self.page.wait(f"document.querySelector('main')?.dataset.view === "
                       f"'{view.split('/')[0]}' && ({condition})")

    def picture(self, name):
        if PICTURES:
            self.page.screenshot(f"{PICTURES}/{name}.png")

    def names(self):
        return self.page.eval(
            "[...document.querySelectorAll('main tbody tr')]"
            ".map(r => r.children[1].innerText.split(' ')[0])")

    def test_a_ranking_follows_the_sliders_by_keyboard(self):
        self.show("rank/zlib_deflate", "document.querySelector('main svg')")
        served = self.service.get("/v1/rank?program=zlib_deflate&limit=30")
        self.assertEqual(self.names(), [i["name"] for i in served["items"]])
        predicted = self.service.get(
            "/v1/predict?program=zlib_deflate&architecture=" +
            served["items"][0]["name"])
        ranges = self.page.eval(
            "document.querySelectorAll('main svg .range').length")
        self.assertEqual(ranges > 0, "lowNs" in predicted)
        self.picture("rank")

        # The slowest of those shown get a price; once price counts in full it
        # is the server's ranking by cost, and who has none falls behind.
        cheap = [i["name"].split("@")[0] for i in served["items"][5:10]]
        for i, name in enumerate(cheap):
            self.service.send("PATCH", f"/v1/architectures/{name}",
                              {"pricePerHour": 5 - i, "powerWatts": 50})
        self.show("rank/zlib_deflate", "document.querySelector('main svg')")
        self.page.eval("document.querySelector('[name=program]').focus()")
        self.page.key("Tab")
        self.page.key("ArrowRight", 100)
        self.assertEqual(self.page.eval("document.activeElement.value"), "100")
        by_cost = self.service.get("/v1/rank?program=zlib_deflate&limit=30"
                                   "&objective=OBJECTIVE_COST")
        expected = [i["name"] for i in by_cost["items"]]
        self.assertEqual(self.names()[:len(expected)], expected)
        self.assertGreater(self.page.eval(
            "document.querySelectorAll('main tr.out').length"), 0)
        # The deadline leaves the slow ones out.
        self.page.key("ArrowLeft", 100)
        self.page.key("Tab", 2)
        self.page.key("ArrowRight", 60)
        fit, there = map(int, re.search(
            r"(\d+) of (\d+) fit", self.page.eval(
                "document.querySelector('main').innerText")).groups())
        self.assertLess(fit, there)
        self.assertGreater(fit, 0)
        self.picture("rank_deadline")

    def text(self, selector):
        return self.page.eval(f"document.querySelector('{selector}').innerText")

    def test_phases_are_told_on_two_machines(self):
        self.show("phases/zlib_deflate", "document.querySelector('svg.chart')")
        ranked = [i["name"].split("@")[0] for i in self.service.get(
            "/v1/rank?program=zlib_deflate&limit=1000")["items"]]
        value = "document.querySelector('[name=%s]').value"
        self.assertEqual(self.page.eval(value % "on"), ranked[0])
        self.assertEqual(self.page.eval(value % "against"), ranked[-1])
        served = self.service.send(
            "POST", "/v1/programs/zlib_deflate:analyze",
            {"architectures": [ranked[0], ranked[-1]]})
        self.assertGreater(len(served["parts"]), 1)
        self.assertEqual(
            self.page.eval("document.querySelectorAll('.band rect').length"),
            len(served["parts"]))
        self.assertEqual(
            self.page.eval("document.querySelectorAll('tbody tr').length"),
            served["phases"])
        self.picture("phases")
        # The intervals one after the other.
        self.page.eval("document.querySelector('[name=interval]').focus()")
        self.page.key("ArrowRight")
        about = self.text("output.about")
        self.assertTrue(about.startswith(
            f"Interval 2 of {len(served['parts'])}, phase "
            f"{served['parts'][1]['phase'] + 1}: "), about)
        self.assertEqual(about, self.page.eval(
            "document.activeElement.getAttribute('aria-valuetext')"))
        # Another machine: the choice keeps the focus, the page its address.
        self.page.eval("document.querySelector('[name=against]').focus()")
        names = sorted(ranked)
        at = names.index(ranked[-1])
        self.page.key("ArrowUp" if at > 0 else "ArrowDown")
        other = names[at - 1 if at > 0 else 1]
        self.page.wait(f"document.querySelector('figcaption')?.innerText"
                       f".includes('{other}@')")
        self.assertEqual(self.page.eval("location.hash"),
                         f"#/phases/zlib_deflate/{ranked[0]}/{other}")
        self.assertEqual(self.page.eval("document.activeElement.name"),
                         "against")
        self.page.size(360, 740)
        self.page.dark(True)
        self.assertLessEqual(
            self.page.eval("document.documentElement.scrollWidth"), 360)
        self.picture("phone_phases_dark")
        self.page.dark(False)

    def test_a_program_without_parts_says_how_to_keep_them(self):
        self.service.perfvec(
            "upload", f"{SOURCE}/deploy/samples/zlib_deflate.pvt",
            "--program", "whole", "--interval", "0", "--wait")
        self.show("phases/whole", "document.querySelector('main code')")
        self.assertIn("perfvec program represent whole", self.text("main code"))

    def test_a_map_of_designs_is_explored_by_keyboard(self):
        known = self.service.get("/v1/rank?program=zlib_deflate")["items"]
        vector = self.service.get(
            "/v1/architectures/" + known[0]["name"])["vectors"][0]
        samples = []
        for policy in ("lru", "random"):
            for x in (1, 2, 3, 5, 6, 7):
                name = f"design_{policy}_{x}"
                factor = 3 + (x - 4) ** 2 + (policy == "random")
                self.service.send("POST", "/v1/architectures", {"architecture": {
                    "name": name, "vectors": [{
                        "modelId": vector["modelId"],
                        "values": [factor * v for v in vector["values"]]}]}})
                samples.append({"architecture": name,
                                "parameters": {"x": x, "policy": policy}})
        space = {"parameters": [
            {"name": "x", "type": "integer", "values": [1, 2, 3, 4, 5, 6, 7]},
            {"name": "policy", "labels": ["lru", "random"]}],
            "samples": samples, "programs": ["zlib_deflate"],
            "limits": ["x < 7 || policy == 0"]}
        self.show("designs", "document.querySelector('form')")
        self.page.eval("document.querySelector('[name=space]').focus()")
        self.page.type(json.dumps(space))
        self.page.key("Tab")
        self.page.key("Enter")
        self.page.wait("document.querySelector('table.map')")
        self.assertEqual(
            self.page.eval("document.querySelectorAll('td.heat').length"), 13)
        self.assertEqual(
            self.page.eval("document.querySelectorAll('td.out').length"), 1)
        self.assertIn("x 4, policy lru", self.text("p.about"))
        self.assertEqual(self.text("td.best"), "1.00")
        colour = ("getComputedStyle(document.querySelector('%s'))"
                  ".backgroundColor")
        self.assertNotEqual(self.page.eval(colour % "td.best"),
                            self.page.eval(colour % "tbody tr td.heat"))
        self.picture("designs")
        # From the best cell on; the map has one stop.
        self.page.eval("document.querySelector('td.best').focus()")
        self.page.key("ArrowDown")
        self.page.key("ArrowRight")
        self.assertIn("x 5, policy random", self.text("p.about"))
        self.page.key("ArrowRight", 5)
        self.assertIn("none", self.text("p.about"))
        self.assertEqual(self.page.eval(
            "document.querySelectorAll('td[tabindex=\"0\"]').length"), 1)
        # The axes change places.
        self.page.eval("document.querySelector('[name=across]').focus()")
        self.page.key("ArrowDown")
        self.page.wait("document.querySelectorAll('table.map tbody tr').length "
                       "=== 7")
        self.assertEqual(self.page.eval("document.activeElement.name"),
                         "across")
        for dark in (False, True):
            self.page.dark(dark)
            self.page.size(360, 740)
            self.assertLessEqual(
                self.page.eval("document.documentElement.scrollWidth"), 360)
            self.page.eval("document.querySelector('table.map')"
                           ".scrollIntoView()")
            self.picture(f"phone_map{'_dark' if dark else ''}")
        self.page.dark(False)
        # What is wrong is named, and nothing is sent.
        for wrong, named in (
                ({**space, "sample": []}, "'sample' is not known"),
                ({**space, "samples": [{"architecture": "design_lru_1",
                                        "parameters": {"x": 1, "policy": "l"}}]},
                 "sample design_lru_1: policy: expected one of its labels")):
            self.page.eval("{const s = document.querySelector('[name=space]');"
                           f"s.value = {json.dumps(json.dumps(wrong))};"
                           "s.form.requestSubmit();}")
            self.page.wait("document.getElementById('message').innerText"
                           f".includes({json.dumps(named)})")

    def test_lists_show_what_is_there(self):
        self.show("programs", "document.querySelectorAll('tbody tr').length")
        text = self.page.eval("document.querySelector('main').innerText")
        for name in PROGRAMS:
            self.assertIn(name, text)
        self.picture("programs")
        self.show("jobs", "document.querySelectorAll('tbody tr').length")
        self.assertIn("succeeded",
                      self.page.eval("document.querySelector('main').innerText"))
        self.picture("jobs")
        self.show("architectures",
                  "document.querySelectorAll('tbody tr').length > 10")
        self.page.eval("document.querySelector('tbody input').focus()")
        self.page.type("2.5")
        self.page.key("Tab")
        self.page.wait("document.getElementById('message').innerText"
                       ".includes('2.5')")
        self.picture("architectures")

    def test_jobs_appear_and_move_while_one_watches(self):
        self.show("jobs", "document.querySelectorAll('tbody tr').length")
        before = self.page.eval("document.querySelectorAll('tbody tr').length")
        self.service.perfvec(
            "upload", f"{SOURCE}/deploy/samples/zlib_deflate.pvt",
            "--program", "again")
        self.page.wait("document.querySelectorAll('tbody tr').length > "
                       f"{before} && document.querySelector('tbody tr')"
                       ".innerText.includes('succeeded')", 120)

    def test_a_machine_is_learned_from_a_pasted_table(self):
        self.show("learn", "document.querySelector('form')")
        runs = "".join(
            f"{name} {self.time(name) * 1.1:.0f}ns, {self.time(name):.0f}ns\n"
            for name in PROGRAMS)
        self.page.eval("document.querySelector('[name=name]').focus()")
        self.page.type("lab")
        self.page.key("Tab", 3)
        self.page.type(runs)
        self.page.key("Tab")
        self.page.key("Enter")  # Try
        self.page.wait("document.querySelectorAll('main svg').length === 2")
        self.picture("learn")
        names = [a["name"] for a in
                 self.service.get("/v1/architectures?pageSize=1000")
                 ["architectures"]]
        self.assertNotIn("lab", names)
        self.page.key("Tab")
        self.page.key("Enter")  # Keep
        self.page.wait("document.getElementById('message').innerText"
                       ".includes('lab@1')")
        self.assertEqual(self.service.get("/v1/architectures/lab")["version"],
                         "1")
        # A wrong line is named, nothing is sent.
        self.page.eval("document.querySelector('[name=runs]').value = "
                       "'a 5 parsecs'")
        self.page.key("Enter")
        self.page.wait("document.getElementById('message').innerText"
                       ".includes('line 1')")

    def time(self, program):
        return self.service.get(
            f"/v1/rank?program={program}&limit=3")["items"][2]["timeNs"]

    def test_every_view_fits_a_phone_in_the_dark(self):
        self.page.size(360, 740)
        self.page.dark(True)
        for view, there in [("rank", "document.querySelector('main svg')"),
                            ("phases", "document.querySelector('svg.chart')"),
                            ("designs", "document.querySelector('form')"),
                            ("programs", "document.querySelector('tbody tr')"),
                            ("architectures",
                             "document.querySelector('tbody tr')"),
                            ("jobs", "document.querySelector('tbody tr')"),
                            ("learn", "document.querySelector('form')")]:
            self.show(view, there)
            self.assertLessEqual(
                self.page.eval("document.documentElement.scrollWidth"), 360,
                view)
            self.picture(f"phone_{view}")
            self.assertEqual(
                self.page.eval("getComputedStyle(document.body).color"),
                "rgb(230, 232, 235)")
        self.page.dark(False)
        # Keyboard: the first stop skips to the content, the next are views.
        self.show("programs", "document.querySelector('tbody tr')")
        self.page.key("Tab")
        self.assertEqual(self.page.eval("document.activeElement.className"),
                         "skip")
        self.page.key("Tab", 5)
        self.page.key("Enter")
        self.page.wait("document.querySelector('main').dataset.view === "
                       "'architectures' && document.activeElement.id === "
                       "'main'")


class TokenTest(unittest.TestCase):
    """The page of a server that asks for tokens."""

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="perfvec_web_")
        cls.addClassCleanup(shutil.rmtree, cls.dir, True)
        tokens = cls.dir + "/tokens.json"
        cls.token = subprocess.run(
            [f"{BIN}/server/perfvec-server", "token", "--tokens", tokens,
             "create", "someone", "--role", "operator"],
            check=True, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL).stdout.strip()
        cls.server = subprocess.Popen(
            [f"{BIN}/server/perfvec-server", "--data-dir", cls.dir + "/data",
             "--listen", "127.0.0.1:0", "--metrics-listen", "",
             "--http-listen", "127.0.0.1:0", "--tokens", tokens,
             "--model", f"{SOURCE}/deploy/models/default"],
            stderr=subprocess.PIPE, text=True)
        cls.addClassCleanup(cls.stop)
        said = ""
        while "web page" not in said:
            line = cls.server.stderr.readline()
            if not line:
                raise RuntimeError("no server: " + said)
            said += line
        cls.url = re.search(r"on (http://[0-9.:]+)/", said).group(1)
        urllib.request.urlopen(urllib.request.Request(
            cls.url + "/v1/architectures",
            json.dumps({"architecture": {"name": "some-machine"}}).encode(),
            {"Content-Type": "application/json",
             "Authorization": "Bearer " + cls.token})).close()

    @classmethod
    def stop(cls):
        cls.server.terminate()
        cls.server.wait(60)
        cls.server.stderr.close()

    def setUp(self):
        self.page = browser.Browser()
        self.addCleanup(self.page.__exit__)

    def tearDown(self):
        # The browser itself notes each answer of 401.
        self.assertEqual([e for e in self.page.errors if " 401 " not in e], [])

    def picture(self, name):
        if PICTURES:
            self.page.screenshot(f"{PICTURES}/{name}.png")

    def asked(self, reason):
        self.page.wait("document.querySelector('dialog[open]')?.innerText"
                       f"?.includes('{reason}')")
        self.assertEqual(self.page.eval(
            "document.querySelectorAll('dialog').length"), 1)
        self.assertEqual(self.page.eval(
            "document.activeElement.name + ' ' + document.activeElement.type"),
            "token password")

    def test_it_asks_until_a_token_counts_and_keeps_it_for_the_session(self):
        self.page.open(f"{self.url}/#/architectures")
        self.asked("a token is needed")
        self.picture("token")
        self.page.key("Enter")  # an empty one is none
        self.asked("a token is needed")
        self.page.type("pvs_wrong")
        self.page.key("Enter")
        self.asked("unknown here")
        self.page.size(360, 640)
        self.page.dark(True)
        self.picture("phone_token")
        self.assertLessEqual(
            self.page.eval("document.documentElement.scrollWidth"), 360)
        self.page.dark(False)
        self.page.size(1100, 900)
        self.page.type(self.token)
        self.page.key("Enter")
        shown = "document.querySelector('main')?.innerText?"
        self.page.wait(f"{shown}.includes('some-machine')")
        self.assertGreater(self.page.eval(
            "document.querySelectorAll('main tbody tr').length"), 2)
        self.assertFalse(self.page.eval("!!document.querySelector('dialog')"))
        self.picture("token_given")
        # It is kept for the session, and nowhere in the page.
        self.page.open("about:blank")
        self.page.open(f"{self.url}/#/architectures")
        self.page.wait(f"{shown}.includes('some-machine')")
        self.assertNotIn(self.token, self.page.eval(
            "document.documentElement.outerHTML"))
        self.assertEqual(self.page.eval("localStorage.length"), 0)

    def test_who_declines_is_told_why_there_is_nothing_and_not_asked_again(self):
        self.page.open(f"{self.url}/#/programs")
        self.asked("a token is needed")
        self.page.key("Escape")
        self.page.wait("document.getElementById('message')?.innerText"
                       "?.includes('a token is needed')")
        self.page.eval("location.hash = '#/architectures'")
        self.page.wait("document.querySelector('main')?.dataset.view === "
                       "'architectures'")
        self.assertFalse(self.page.eval("!!document.querySelector('dialog')"))
        self.picture("token_declined")


if __name__ == "__main__":
    if browser.PROGRAM is None:
        print("skipped: chromium is not installed")
        sys.exit(77)
    if PICTURES:
        os.makedirs(PICTURES, exist_ok=True)
    unittest.main(argv=sys.argv[:1], verbosity=2)
