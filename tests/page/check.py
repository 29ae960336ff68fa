"""Scenarios of the page in a real Chromium. `check.py SCENARIO JSON`; tests/page/rig.rs says what the JSON holds."""

import http.client
import json
import os
import signal
import socket
import statistics
import sys
import threading
import time
import urllib.request
from pathlib import Path

from browser import Browser, Forwarder, wait_for
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


def look(rig):
    wire = Forwarder(rig.forward, rig.socket)
    with rig.browser(rig.forward) as page:
        page.open()
        live(page)
        assert page.text(".verdict .word") == "Up on main", page.text("#verdicts")
        assert "to spare would work" in page.text("#verdicts")
        assert "uid:0 · operator" in page.text("#who")
        assert not page.all("article [data-act=failover]"), "a failover of what is alive is refused, so it isn't offered"
        for selector in ('[data-svc=cart][data-state=steady]', '[data-svc=cart][data-member=main][data-role=primary][data-state=up]',
                         '[data-member=spare][data-role=standby]', '[data-ready=switchover][data-state=yes]', 'svg[role=img][aria-label*="goes to main"]'):
            assert page.all(selector), selector
        # Markup in what people configured is text, and the page stays what it is.
        assert "<img src=x onerror='window.hit=1'>" in page.text(".on-call"), page.text(".on-call")
        assert page.js("return window.hit === undefined && document.querySelectorAll('main img').length === 0")
        clean(page)
        for dark in (False, True):
            for width in (1280, 360):
                page.look(dark, width, 900)
                wait_for("drawn to that width", lambda: page.js("return document.documentElement.scrollWidth <= arguments[0] && document.querySelector('svg.drawing').clientWidth < arguments[0]", width))
                accessible(page, f"dark={dark} width={width}")
        # Twice as large on a usual window is half as wide.
        page.look(width=640, height=450, scale=2)
        wait_for("no sideways scrolling at 200 %", lambda: page.js("return document.documentElement.scrollWidth <= 640"))
        page.look()
        soon(rig, page)
        lost_and_mended(rig, page, wire)
        clean(page, expected=("net::ERR", "Failed to load"))


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


def lost_and_mended(rig, page, wire):
    os.kill(rig.pointsman, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        wait_for("it says that it lost touch", lambda: page.js("return document.body.dataset.touch") == "lost", 15)
        print(f"lost touch said after {time.monotonic() - begun:.1f} s")
        words = page.text("#banner")
        assert "Lost touch with Pointsman at " in words and "may be wrong now" in words, words
        assert "As it was" in page.js("return getComputedStyle(document.querySelector('.card-head'), '::before').content")
        assert page.driver.title.startswith("? No touch"), page.driver.title
        accessible(page, "lost touch")
    finally:
        os.kill(rig.pointsman, signal.SIGCONT)
    live(page)
    wait_for("the banner is gone", lambda: page.js("return document.getElementById('banner').hidden"))
    wire.break_off()
    wait_for("a broken connection is said", lambda: page.js("return document.body.dataset.touch") == "lost", 15)
    # What happens meanwhile is there afterwards.
    assert rig.api("/v1/services/cart/pause", {"for": "10m"})[0] == 200
    wire.mend()
    live(page)
    wait_for("what happened meanwhile", lambda: state(page) == "paused")
    assert rig.api("/v1/services/cart/resume", {})[0] == 200


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


def orders(rig):
    wire = Forwarder(rig.forward, rig.socket)
    with rig.browser(rig.forward) as page:
        page.open()
        live(page)
        guarded(page)
        order(page, "switchover", "drill <b onmouseover=hit()>one</b>")
        words = ended(page, "done")
        assert "cart is on spare" in words and "nothing lost" in words and "Promote" in words, words
        assert page.focus()["act"] == "switchover", "the focus is where it was"
        assert rig.service()["route"]["cluster"] == "spare"
        wait_for("the verdict follows", lambda: page.text(".verdict .word") == "Up on spare")
        wait_for("the reason is text", lambda: "drill <b onmouseover=hit()>one</b>" in page.text(".history"))
        assert not page.all(".history b")
        timeline(page)
        rig.ready()
        refused(rig, page)
        order(page, "mode", "look out", choose="r")
        ended(page, "done")
        wait_for("it is said", lambda: page.text(".verdict .word") == "Read only on spare")
        order(page, "mode", "all is well", choose="o")
        ended(page, "done")
        rig.ready()
        once(rig, page, wire)
        by_hand(rig, page)
        clean(page, expected=("net::ERR", "Failed to load", "422"))


def guarded(page):
    """Nothing is sent before the name is typed and a reason given; Esc gives it up."""
    order(page, "switchover", "")
    assert page.text("#order-missing") == "Give a reason.", page.text("#order-missing")
    assert page.all("#order [data-send][aria-disabled=true]") and page.all("#order form[data-phase=form]")
    accessible(page, "the window of an order")
    page.keys(Keys.ESCAPE)
    wait_for("given up", lambda: not page.all("dialog[open]"))


def timeline(page):
    page.tab_to("the timeline", lambda at: at["act"] == "about")
    page.keys(Keys.ENTER)
    wait_for("the timeline", lambda: page.all("dialog#about[open] .timeline li"))
    accessible(page, "an operation")
    page.keys(Keys.ESCAPE)
    wait_for("the window is closed", lambda: not page.all("dialog[open]"))


def refused(rig, page):
    """With the only other cluster drained: the guard, what it says, and what to do about it; nothing can be sent."""
    order(page, "drain", "repair", cluster="main")
    ended(page, "done")
    wait_for("not ready, and why", lambda: page.all("[data-ready=switchover][data-state=no] [data-guard=eligible]"))
    assert "A planned switch" in page.text("#verdicts") or "No switch would work" in page.text("#verdicts"), page.text("#verdicts")
    accessible(page, "not ready")
    order(page, "switchover", "try", dry="no")
    assert page.all("#order .dry [data-guard=eligible]") and page.text("#order-missing") == "The guards say no."
    accessible(page, "a refused dry run")
    page.keys(Keys.ESCAPE)
    wait_for("given up", lambda: not page.all("dialog[open]"))
    order(page, "restore", "repaired", cluster="main")
    ended(page, "done")
    rig.ready()


def once(rig, page, wire):
    """The answer to an order is lost on its way: the page says so, asks again under the same key, and tells the one end."""
    before = len(rig.operations())
    order(page, "switchover", "the wire breaks", meanwhile=lambda: setattr(wire, "deaf", True))
    wait_for("it was done", lambda: rig.service()["route"]["cluster"] == "main")
    wait_for("the break is said", lambda: "The connection broke" in page.text("#order"))
    wire.deaf = False
    words = ended(page, "done")
    assert "cart is on main" in words, words
    assert len(rig.operations()) == before + 1, rig.operations()


def by_hand(rig, page):
    """Automatic failover is paused and the primary dies: a failover by hand says what it may lose and asks for that to be accepted."""
    rig.ready()
    order(page, "pause", "somebody is here")
    ended(page, "done")
    os.kill(rig.primary, signal.SIGKILL)
    wait_for("not served, and said", lambda: page.text(".verdict .word") in ("Not served", "Requests wait", "Blocked") and page.all("[data-member=main][data-state=down]"))
    accessible(page, "a dead primary")
    order(page, "failover", "it is gone for good", tick="accept_loss")
    words = ended(page, "done")
    assert "cart is on spare" in words, words
    wait_for("served again", lambda: "on spare" in page.text(".verdict .word"))


def failover(rig):
    Forwarder(rig.forward, rig.socket)
    with rig.browser(rig.forward) as page:
        page.open()
        live(page)
        os.kill(rig.primary, signal.SIGKILL)
        wait_for("another verdict", lambda: page.text(".verdict .word") not in ("Up on main", ""))
        wait_for("served from spare", lambda: "on spare" in page.text(".verdict .word"))
        wait_for("the failover among the last operations", lambda: "Failover main → spare" in page.text(".history"))
        words = page.text(".history")
        assert "Pointsman itself" in words and "longest wait" in words and "lost" in words, words
        wait_for("the dead one is shown dead", lambda: page.all("[data-member=main][data-state=down]"))
        assert page.all("[data-ready=switchover][data-state=no] .advice")
        accessible(page, "after a failover")
        clean(page)


def people(rig):
    refused = ("401",)
    with rig.browser(rig.listen) as page:
        page.open()
        enter(page, "wrong")
        wait_for("a wrong token is refused", lambda: page.all("#login [role=alert]"))
        accessible(page, "the window of the token")
        assert not page.all("article.card"), "no data without a token"
        enter(page, rig.tokens["vic"])
        live(page)
        assert "vic · viewer" in page.text("#who")
        assert page.js("return sessionStorage.length === 1 && localStorage.length === 0 && document.cookie === ''")
        assert not page.all("article [data-act=switchover]") and "viewer" in page.text("article"), "a viewer is offered nothing"
        become(page, rig.tokens["ann"])
        wait_for("ann", lambda: "ann · operator" in page.text("#who"))
        order(page, "switchover", "the sale")
        words = ended(page, "waiting")
        assert "pointsman approve cart-1" in words, words
        wait_for("it waits on the page", lambda: page.all("#waiting [data-operation=cart-1]"))
        assert not page.all("#waiting [data-act=approve]"), "not offered to who asked"
        accessible(page, "something waits")
        become(page, rig.tokens["bob"])
        wait_for("bob may agree", lambda: page.all("#waiting [data-act=approve]"))
        order(page, "approve", "seen")
        words = ended(page, "done")
        assert "cart is on spare" in words, words
        wait_for("both are named", lambda: "agreed by bob" in page.text(".history"))
        rig.ready()
        order(page, "switchover", "and back")
        ended(page, "waiting")
        order(page, "withdraw", "not today")
        wait_for("an end", lambda: page.all("#order form[data-phase=end]"))
        page.keys(Keys.ESCAPE)
        wait_for("nothing waits", lambda: not page.all("#waiting [data-operation]"))
        assert rig.service()["route"]["cluster"] == "spare"
        clean(page, expected=refused)


def groups(rig):
    Forwarder(rig.forward, rig.socket)
    with rig.browser(rig.forward) as page:
        page.open()
        live(page)
        group = "[data-group=checkout]"
        assert page.all(f"{group}[data-state=together]"), page.text("#together")
        order(page, "switchover", "both at once", name="checkout")
        words = ended(page, "done")
        assert "stock: Done" in words and "cart: Done" in words, words
        wait_for("both moved", lambda: page.js("return [...document.querySelectorAll('.verdict .word')].map((one) => one.innerText).join()") == "Up on spare,Up on spare")
        rig.ready()
        order(page, "switchover", "only this one")
        ended(page, "done")
        wait_for("a split group is shown", lambda: page.all(f"{group}[data-state=split]"))
        accessible(page, "a split group")
        wait_for("everything is ready", lambda: all(one["switchover_ready"]["ready"] for one in rig.api("/v1/services")[1]["services"]))
        of_all(rig, page)
        only_a_part(rig, page)
        order(page, "evacuate", "work on the power", name="west", cluster="west")
        ended(page, "done")
        assert rig.api("/v1/services/stock")[1]["route"]["cluster"] == "main"
        wait_for("together again", lambda: page.all(f"{group}[data-state=together]"))
        clean(page)


def only_a_part(rig, page):
    """What a guard refuses may stay; here that is everything, and the window says so still."""
    assert rig.api("/v1/services/stock/drain", {"cluster": "main"})[0] == 200
    order(page, "evacuate", "a part of it", name="west", cluster="west", dry="no", tick="partial")
    wait_for("asked again", lambda: page.all("#order .dry[data-state=no] [name=partial]:checked") and "drained" in page.text("#order .dry"))
    assert page.text("#order-missing") == "The guards say no."
    page.keys(Keys.ESCAPE)
    wait_for("given up", lambda: not page.all("dialog[open]"))
    assert rig.api("/v1/services/stock/restore", {"cluster": "main"})[0] == 200
    wait_for("everything is ready", lambda: all(one["switchover_ready"]["ready"] for one in rig.api("/v1/services")[1]["services"]))


def tls(rig):
    with rig.browser(rig.listen, certificate=rig.certificate) as page:
        page.open()
        enter(page, rig.tokens["ann"])
        live(page)
        assert page.js("return window.isSecureContext && location.protocol === 'https:'")
        soon(rig, page)
        order(page, "switchover", "over TLS")
        words = ended(page, "done")
        assert "cart is on spare" in words, words
        accessible(page, "over TLS")
        clean(page, expected=("401",))


def streams(rig):
    """How many event streams Pointsman serves."""
    with urllib.request.urlopen(f"http://127.0.0.1:{rig.telemetry}/metrics", timeout=10) as answer:
        line = next(line for line in answer.read().decode().splitlines() if line.startswith("pointsman_admin_streams "))
    return float(line.split()[1])


def tabs(rig):
    Forwarder(rig.forward, rig.socket)
    with rig.browser(rig.forward) as page:
        page.open()
        live(page)
        all_tabs = [page.driver.current_window_handle]
        while len(all_tabs) < 8:
            page.driver.switch_to.new_window("tab")
            page.open()
            live(page)
            all_tabs.append(page.driver.current_window_handle)
        wait_for("one stream for all", lambda: streams(rig) == 1)
        order(page, "pause", "from the eighth tab")
        ended(page, "done")
        everywhere(page, all_tabs, "paused")
        # The tab that holds the stream goes: another takes it over, and nobody misses what happens.
        page.driver.switch_to.window(all_tabs.pop(0))
        page.driver.close()
        page.driver.switch_to.window(all_tabs[0])
        wait_for("one stream again", lambda: streams(rig) == 1)
        assert rig.api("/v1/services/cart/resume", {})[0] == 200
        everywhere(page, all_tabs, "steady")
        # The one that holds it now hangs: the others notice, one takes its place, and what happened meanwhile is there.
        holder = hang(page, all_tabs)
        others = [tab for tab in all_tabs if tab != holder]
        assert rig.api("/v1/services/cart/pause", {"for": "10m"})[0] == 200
        everywhere(page, others, "paused")
        assert rig.api("/v1/services/cart/resume", {})[0] == 200
        everywhere(page, all_tabs, "steady")
        # Pointsman hangs: each tab says so, and each is back afterwards.
        os.kill(rig.pointsman, signal.SIGSTOP)
        try:
            for tab in all_tabs:
                page.driver.switch_to.window(tab)
                wait_for("it says that it lost touch", lambda: page.js("return document.body.dataset.touch") == "lost", 15)
        finally:
            os.kill(rig.pointsman, signal.SIGCONT)
        for tab in all_tabs:
            page.driver.switch_to.window(tab)
            live(page)
        wait_for("one stream in the end", lambda: streams(rig) == 1)
        strangers(rig, page)
        clean(page, expected=("net::ERR", "Failed to load"))


def hang(page, all_tabs):
    """The tab that holds the stream passes nothing on any more; gives that tab."""
    for tab in all_tabs:
        page.driver.switch_to.window(tab)
        page.js("window.passed = 0; const post = BroadcastChannel.prototype.postMessage; BroadcastChannel.prototype.postMessage = function (message) { if (message.kind !== 'hello') window.passed += 1; return window.mute ? undefined : post.call(this, message); }")

    def holder():
        for tab in all_tabs:
            page.driver.switch_to.window(tab)
            if page.js("return window.passed"):
                return tab
        return None

    found = wait_for("the holder answers", holder)
    page.js("window.mute = true")
    return found


def everywhere(page, all_tabs, shown):
    for tab in all_tabs:
        page.driver.switch_to.window(tab)
        wait_for(f"{shown} in every tab, and live", lambda: state(page) == shown and page.js("return document.body.dataset.touch") == "live")


def strangers(rig, page):
    """A tab with a token of its own shares nothing with the others."""
    page.driver.switch_to.new_window("tab")
    page.open()
    live(page)
    become(page, rig.tokens["vic"])
    wait_for("somebody else", lambda: "vic · viewer" in page.text("#who"))
    wait_for("two people, two streams", lambda: streams(rig) == 2)


# Roles of what is operated, as browsers tell assistive technology.
CONTROLS = {"button", "link", "textbox", "checkbox", "combobox", "DisclosureTriangle"}


def tree(page):
    """What assistive technology is told: role and name of each node, and its properties."""
    page.command("Accessibility.enable")
    nodes = page.command("Accessibility.getFullAXTree")["nodes"]
    told = [node for node in nodes if not node.get("ignored")]
    return [(node["role"]["value"], node.get("name", {}).get("value", ""), {one["name"]: one["value"].get("value") for one in node.get("properties", [])}) for node in told]


def named(page, what):
    nameless = [(role, more) for role, name, more in tree(page) if role in CONTROLS and not name.strip()]
    assert nameless == [], f"{what}: {nameless}"


def heard(rig):
    Forwarder(rig.forward, rig.socket)
    with rig.browser(rig.forward) as page:
        page.open()
        live(page)
        named(page, "the page")
        names = {role: [name for kind, name, _ in tree(page) if kind == role] for role in ("link", "heading", "article", "image", "group")}
        assert any(name.startswith("cart Up on main A switch to spare would work.") for name in names["link"]), names["link"]
        assert "cart" in names["article"] and "Orders for cart" in names["group"], names
        # The words of changes are kept: each is said once, and silence lies between them.
        page.js("window.said = []; new MutationObserver((all) => all.forEach((one) => one.addedNodes.forEach((line) => window.said.push(line.textContent)))).observe(document.getElementById('say'), {childList: true})")
        assert page.js("return document.getElementById('say').getAttribute('aria-live')") == "polite"
        assert rig.api("/v1/services/cart/mode", {"mode": "read_only"})[0] == 200
        wait_for("it is said", lambda: page.js("return window.said.length") > 0)
        assert rig.api("/v1/services/cart/mode", {"mode": "open"})[0] == 200
        wait_for("that too", lambda: page.js("return window.said.length") > 1)
        rig.ready()
        said = page.js("return window.said")
        assert said[0].startswith("cart: Read only") and said[1].startswith("cart: Up on main") and len(said) == len(set(said)), said
        order(page, "switchover", "")
        windows = [(name, more) for role, name, more in tree(page) if role == "dialog"]
        assert [name for name, _ in windows] == ["Switch cart over"] and windows[0][1].get("modal"), windows
        named(page, "the window of an order")
        missing = [more for role, name, more in tree(page) if role == "button" and name == "Switch over"]
        assert missing and missing[0].get("disabled"), missing
        page.keys(Keys.ESCAPE)
        wait_for("given up", lambda: not page.all("dialog[open]"))
        assert page.focus()["act"] == "switchover", "the focus is where it was"
def of_all(rig, page):
    """A group's pause, resume and mode concern every member, and where members differ nothing is chosen for the operator."""
    buttons = lambda: [one.get_attribute("data-act") for one in page.all("#together [data-group=checkout] button")]
    services = lambda key: [one[key] for one in rig.api("/v1/services")[1]["services"]]
    assert buttons() == ["switchover", "mode", "pause"], buttons()
    order(page, "pause", "a risky release", name="checkout")
    ended(page, "done")
    assert services("state") == ["paused", "paused"], services("state")
    wait_for("what fits is offered", lambda: buttons() == ["switchover", "mode", "resume"])
    order(page, "resume", "it is out", name="checkout")
    ended(page, "done")
    assert "paused" not in services("state"), services("state")
    assert rig.api("/v1/services/cart/mode", {"mode": "read_only", "reason": "one alone"})[0] == 200
    wait_for("it is on the page", lambda: page.text("article[data-svc=cart] .facts").count("read only"))
    order(page, "mode", "which one?", name="checkout")
    assert page.text("#order-missing") == "Choose a mode.", page.text("#order-missing")
    assert "cart: Read only" in page.text("#order [aria-label='Whom it concerns']"), page.text("#order")
    page.keys(Keys.ESCAPE)
    order(page, "mode", "all is well", name="checkout", choose="o")
    ended(page, "done")
    assert services("mode") == ["open", "open"], services("mode")
    wait_for("ready again", lambda: all(one["switchover_ready"]["ready"] for one in rig.api("/v1/services")[1]["services"]))


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


def load(rig):
    """Clients that write as long as this process lives, so that a switch has something to hold."""

    def writes(number):
        with socket.create_connection(("127.0.0.1", rig.port)) as talk:
            while True:
                talk.sendall(f"SET k{number} v\r\n".encode())
                if not talk.recv(4096):
                    return

    for number in range(6):
        threading.Thread(target=writes, args=(number,), daemon=True).start()


# Keeps what stands on the page at the first moment that something shows: a failover is over before a picture is taken.
KEEP = """
const [selector] = arguments;
const main = document.getElementById('main');
const watch = new MutationObserver(() => {
  if (!main.querySelector(selector)) return;
  watch.disconnect();
  window.kept = main.cloneNode(true);
  main.after(window.kept);
  main.style.display = 'none';
});
watch.observe(main, {childList: true, subtree: true});
"""


def pictures(rig):
    Forwarder(rig.forward, rig.socket)
    folder = Path(rig.pictures)
    folder.mkdir(parents=True, exist_ok=True)
    quiet = [socket.create_connection(("127.0.0.1", rig.port)) for _ in range(18)]
    load(rig)
    others = [one["name"] for one in rig.api("/v1/services")[1]["services"] if one["name"] != "cart"]
    for name in others:
        for back in (False, True):
            wait_for(f"{name} is ready", lambda: rig.api(f"/v1/services/{name}")[1]["switchover_ready"]["ready"])
            status, answer = rig.api(f"/v1/services/{name}/switchover", {"reason": "back home" if back else "new machines in the west"})
            assert status == 200, answer
        wait_for(f"{name} is steady", lambda: rig.api(f"/v1/services/{name}")[1]["state"] == "steady", 60)
    with rig.browser(rig.forward) as page:
        page.open()
        live(page)
        order(page, "switchover", "rehearsal before the sale")
        ended(page, "done")
        rig.ready()
        page.js("document.activeElement.blur()")
        wait_for("all is well", lambda: len(page.all(".verdict.is-good")) == len(others) + 1)
        for name, dark, width in (("light", False, 1280), ("dark", True, 1280), ("narrow", False, 360)):
            page.look(dark, width, 900)
            wait_for("drawn", lambda: page.js("return document.querySelector('svg.drawing').clientWidth < arguments[0]", width))
            page.picture(folder / f"{name}.png", tall=1250)
        page.look(height=860)
        page.js("document.querySelector('[data-act=switchover]').click()")
        wait_for("the dry run", lambda: page.all(".dry[data-state=yes]"))
        page.picture(folder / "order.png", whole=False)
        page.keys(Keys.ESCAPE)
        page.js("document.activeElement.blur()")
        page.js(KEEP, ".running")
        os.kill(rig.standby, signal.SIGKILL)
        wait_for("in the middle", lambda: page.js("return Boolean(window.kept)"))
        page.picture(folder / "failover.png", tall=900)
        page.js("window.kept.remove(); const main = document.getElementById('main'); main.style.display = ''")
        wait_for("served from main", lambda: "on main" in page.text(".verdict .word") and "Failover" in page.text(".history"))
        page.picture(folder / "after-failover.png", tall=900)
        page.js("document.querySelector('[data-act=about]').click()")
        wait_for("the timeline", lambda: page.all("dialog#about[open] .timeline li"))
        page.picture(folder / "timeline.png", whole=False)
    del quiet
    for file in folder.glob("*.png"):
        assert file.stat().st_size < 200_000, f"{file}: {file.stat().st_size} bytes"


if __name__ == "__main__":
    globals()[sys.argv[1]](Rig(json.loads(sys.argv[2])))
