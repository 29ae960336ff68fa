"""Scenarios around the page: TLS, several tabs, what a screen reader is told."""

import os
import signal
import urllib.request

from browser import Forwarder, wait_for
from hand import accessible, become, clean, ended, enter, live, order, soon, state
from selenium.webdriver.common.keys import Keys


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
