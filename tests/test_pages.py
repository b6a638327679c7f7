"""The shell of a page: what strangers wrote stays text, and nothing but the page's own script may run."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from cia_bench.pages import escape, page

HOSTILE = "<script>alert(1)</script> \"quoted\" 'twice' </svg></title> & \u202eback \x1b[31m \n"


class Seen(HTMLParser):
    """The tags of a page in order, and its text."""

    def __init__(self, content: str):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(content)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def test_a_hostile_name_stays_text_in_title_body_and_attribute():
    content = page(HOSTILE, f'<p title="{escape(HOSTILE)}">{escape(HOSTILE)}</p>')
    assert Seen(content).tags == Seen(page("name", '<p title="name">name</p>')).tags
    assert Seen(content).text.count("<script>alert(1)</script>") == 2
    assert "\u202e" not in content and "\x1b" not in content


def test_only_the_pages_own_script_may_run():
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page("a", "b", "let x = 1")).group(1)
    digest = base64.b64encode(hashlib.sha256(b"let x = 1").digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy
    assert "script-src 'none'" in page("a", "b") and "<script" not in page("a", "b")


@pytest.mark.parametrize("script", ['x = "</script>"', "x = 1 <!-- 2"])
def test_a_script_that_html_would_end_early_is_refused(script):
    with pytest.raises(ValueError, match="u003c"):
        page("a", "b", script)
