"""What every scenario does: looks at the page, and gives an order by keyboard alone."""

import http.client
import json
import socket
import statistics
import time

from browser import Browser, wait_for
from selenium.webdriver.common.keys import Keys


SECOND = 1.0


class Rig:
    def __init__(self, about):
        self.__dict__.update(about)

    def api(self, path, body=None):
        """A request on the admin socket, as root: the status and the JSON."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.socket)
        text = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, text, {"Content-Type": "application/json"} if text else {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    def service(self):
        return self.api("/v1/services/cart")[1]

    def operations(self):
        return self.api("/v1/operations?svc=cart&limit=100")[1]["operations"]

    def ready(self):
        wait_for("ready for a switch", lambda: self.service()["switchover_ready"]["ready"])

    def browser(self, port, **look):
        return Browser(self.tools, port, **look)


def live(page):
    wait_for("the page is live", lambda: page.js("return document.body.dataset.touch") == "live" and page.all("article.card"))


def state(page):
    return page.js("return document.querySelector('article.card')?.dataset.state")


def clean(page, expected=()):
    """Nothing in the console but what is expected, nothing asked for elsewhere."""
    assert page.outside() == [], page.outside()
    rest = [entry for entry in page.console if not any(word in entry["message"] for word in expected)]
    assert rest == [], rest


def accessible(page, what):
    found = page.findings()
    assert found == [], f"{what}: {found}"


def soon(rig, page):
    """A change is on the screen within a second of the answer to whoever made it."""
    took = []
    for order, body, shown in (("pause", {"for": "10m"}, "paused"), ("resume", {}, "steady"), ("pause", {"for": "10m"}, "paused"), ("resume", {}, "steady")):
        assert rig.api(f"/v1/services/cart/{order}", body)[0] == 200
        begun = time.monotonic()
        wait_for(f"{shown} on the screen", lambda: state(page) == shown)
        took.append(time.monotonic() - begun)
    print("on the screen after", [f"{one * 1000:.0f} ms" for one in took])
    assert statistics.median(took) < SECOND, took


def order(page, act, reason, **more):
    """Opens an order's window by keyboard, fills it and sends it."""
    cluster = more.get("cluster")
    page.js("document.getElementById('main').focus()")
    whole = more.get("name", "cart") != "cart"
    page.tab_to(act, lambda at: at["act"] == act and (cluster is None or cluster in at["text"]) and (not whole or not at["svc"]))
    page.keys(Keys.ENTER)
    wait_for("the window", lambda: page.all("dialog#order[open] form[data-phase=form]"))
    if act in ("switchover", "failover", "evacuate"):
        wait_for("the dry run is shown", lambda: page.all(f".dry[data-state={more.get('dry', 'yes')}]"))
    if "tick" in more:
        page.tab_to("the box", lambda at: at["name"] == more["tick"])
        page.keys(Keys.SPACE)
    if "choose" in more:
        page.tab_to("the choice", lambda at: at["tag"] == "select")
        page.keys(more["choose"])
    fill(page, reason, more.get("name", "cart"))
    more.get("meanwhile", lambda: None)()
    page.keys(Keys.ENTER)


def fill(page, reason, name):
    page.tab_to("the reason", lambda at: at["name"] == "reason")
    assert page.js("return getComputedStyle(document.activeElement).outlineStyle") != "none", "the focus is seen"
    page.keys(reason)
    page.tab_to("the name", lambda at: at["name"] == "name")
    page.keys(name)


def ended(page, outcome):
    wait_for(f"the end: {outcome}", lambda: page.all(f"#order form[data-phase=end] .ending[data-state={outcome}]"))
    words = page.text("#order")
    page.keys(Keys.ESCAPE)
    wait_for("the window is closed", lambda: not page.all("dialog[open]"))
    return words


def enter(page, token):
    wait_for("it asks for a token", lambda: page.all("dialog#login[open]"))
    page.js("document.querySelector('#login [name=token]').focus()")
    page.keys(token, Keys.ENTER)


def become(page, token):
    """Somebody else at the same screen."""
    page.js("document.getElementById('me').focus()")
    page.keys(Keys.ENTER)
    enter(page, token)
    wait_for("taken", lambda: not page.all("dialog#login[open]"))
