"""Writes the pages that the real site serves in place of a tracklist, mostly with status 200."""

from html import escape

GENERIC = "1001Tracklists ⋅ The World's Leading DJ Tracklist/Playlist Database"


def challenge(title: str = GENERIC, *, turnstile: bool = False) -> str:
    """Gate A: a page that posts itself onwards once a browser has run it; newer ones ask Cloudflare too."""
    widget = '<div id="turnstile-container"></div>' if turnstile else ""
    return _page(
        title,
        f'<p>Please wait, you will be forwarded to the requested page</p>{widget}<form method="post" name="forward">'
        '<input type="hidden" name="captcha" value="1"></form><script>document.forward.submit()</script>',
    )


def image_captcha() -> str:
    """Gate B: letters in a picture."""
    return _page(
        GENERIC,
        "<p>We need to validate your are real human!</p><img src='data:image/png;base64,iVBORw0KGgo='>"
        '<form method="post"><input id="captcha" name="captcha" type="text"></form>',
    )


def ip_limit() -> str:
    """Gate C: the address was used too much."""
    return _page(
        GENERIC,
        "<p>Your IP or guest/user account has been limited due to overuse</p>"
        '<form action="/info/unblock_ip.html" method="post"><input id="captcha" name="code"></form>',
    )


def cloudflare() -> str:
    """Gate D: the protection in front of the site."""
    return "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking the browser</body></html>"


def home_page() -> str:
    """Gate F: the home page's frame, which is what ids that never were lead to."""
    return _page(GENERIC, '<div id="topBar">Charts, DJs, Events</div>')


def _page(title: str, body: str) -> str:
    """Padded to the size of the real ones, which are dozens of kilobytes of menus."""
    menu = "".join(f'<li><a href="/genre/{n}/index.html">Genre {n}</a></li>' for n in range(900))
    head = f'<title>{escape(title, quote=False)}</title><meta property="og:url" content="https://example.org/">'
    return f"<!DOCTYPE html><html><head>{head}</head><body><ul>{menu}</ul>{body}</body></html>"
