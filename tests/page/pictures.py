"""The pictures of docs/screens."""

import os
import signal
import socket
import threading
from pathlib import Path

from browser import Forwarder, wait_for
from hand import ended, live, order
from selenium.webdriver.common.keys import Keys


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
