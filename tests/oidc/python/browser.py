"""A browser without a user: it follows redirects, stores cookies and gives consent, until it is redirected to the
client's own address."""

import http.cookiejar
import re
import urllib.error
import urllib.parse
import urllib.request


class Stop(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Jar(http.cookiejar.DefaultCookiePolicy):
    """Like browsers, sends `Secure` cookies to this machine without TLS."""

    def return_ok_secure(self, cookie, request):
        return True


def visit(url, until, arrive=False):
    """Returns the URL of the last redirect or, with `arrive`, the page there."""
    cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar(Jar()))
    browser = urllib.request.build_opener(Stop, cookies)
    request = urllib.request.Request(url)
    for _ in range(20):
        if request.full_url.startswith(until):
            return browser.open(request, timeout=20).read().decode() if arrive else request.full_url
        try:
            page = browser.open(request, timeout=20).read().decode()
        except urllib.error.HTTPError as answer:
            location = answer.headers.get("location")
            if not location:
                raise SystemExit(f"{request.full_url}: {answer.code} {answer.read()[:500]}") from None
            request = urllib.request.Request(urllib.parse.urljoin(request.full_url, location))
            continue
        form = re.search(r'action="(/oauth/con(?:sent|nect))">.*name="request" value="([^"]+)"', page)
        if not form:
            raise SystemExit(f"{request.full_url}: no redirect: {page[:500]}")
        fields = urllib.parse.urlencode({"request": form[2], "decision": "allow"}).encode()
        here = urllib.parse.urlsplit(request.full_url)
        headers = {"origin": f"{here.scheme}://{here.netloc}"}
        request = urllib.request.Request(urllib.parse.urljoin(request.full_url, form[1]), fields, headers)
    raise SystemExit("too many redirects")
