"""Save the README's picture of `cia review`: its screen on synthetic clips, after some decisions.

    TEXTUAL_COLOR_SYSTEM=truecolor python docs/review_screen.py DATA docs/review.svg

DATA holds a build of `cia build --source synthetic --size small`. What is decided goes into a journal that is removed
again.
"""

import asyncio
import re
import sys
import tempfile
from pathlib import Path

from cia_bench.review.app import ReviewApp
from cia_bench.review.session import Session
from cia_bench.review.strip_view import StripView
from cia_bench.review.strips import Strip

SIZE = (132, 42)
REMOTE_FONT = re.compile(r',\s*url\("http[^;]*;')  # a picture fetches nothing: a font of this machine will do
SHOWN = "synthetic/open-close/door"


async def save(data: Path, journal: Path, out: Path) -> None:
    session = Session(data, ["synthetic"], journal, "ann")
    app = ReviewApp(session, {"synthetic": data / "synthetic" / "videos"})
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("g", "a", "a", "u", "j", "a")
        while session.current.group_id != SHOWN:
            await pilot.press("j")
        await pilot.press("tab", "j", "d", "n", "n")
        views = list(app.query(StripView))
        while not all(isinstance(view.strip, Strip) for view in views):
            await pilot.pause(0.1)
        await pilot.pause()
        picture = app.export_screenshot(title="cia review")
        out.write_text(REMOTE_FONT.sub(";", picture), encoding="utf-8")


def main(data: Path, out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(save(data, Path(folder) / "synthetic.jsonl", out))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
