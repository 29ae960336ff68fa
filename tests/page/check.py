"""Scenarios of the page in a real Chromium. `check.py SCENARIO JSON`; tests/page/rig.rs says what the JSON holds."""

import json
import os
import signal
import sys
import time

from around import heard, tabs, tls
from browser import Forwarder, wait_for
from hand import Rig, accessible, become, clean, ended, enter, live, order, soon, state
from pictures import pictures
from selenium.webdriver.common.keys import Keys


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
        clean(page, expected=("422",))


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


# Each by its name, as the command line gives it.
SCENARIOS = [look, orders, failover, people, groups, tls, tabs, heard, pictures]

if __name__ == "__main__":
    {scenario.__name__: scenario for scenario in SCENARIOS}[sys.argv[1]](Rig(json.loads(sys.argv[2])))
