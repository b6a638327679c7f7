"""Pictures of trajectories of any length, in every format, with the same bytes each time."""

from pathlib import Path

import pytest
from test_plots import made_up, pixels_of

from cia_bench.pictures import ENDINGS
from cia_bench.plots import METHODS, draw_straightness, draw_trajectory
from cia_bench.trajectories import measure


@pytest.mark.parametrize("still", [False, True])
@pytest.mark.parametrize("T", [1, 2, 3, 4, 16, 17, 40, 100])
def test_any_number_of_frames_is_drawn(tmp_path, T, still):
    for method in METHODS:
        draw_trajectory(made_up(T, still=still), method, tmp_path / f"{method}.png")
        assert pixels_of(tmp_path / f"{method}.png").std() > 20


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_numbers_draw_the_same_bytes_in_every_format(tmp_path, ending):
    def drawn(name: str) -> list[bytes]:
        traced = made_up(16)
        paths: list[Path] = [tmp_path / f"{kind} {name}{ending}" for kind in ("trajectory", "straightness")]
        draw_trajectory(traced, "tsne", paths[0])
        draw_straightness(measure(traced.sequences, traced.trajectories), "made:up", paths[1])
        return [path.read_bytes() for path in paths]

    first = drawn("first")
    assert drawn("again") == first
    assert not any(word in content for content in first for word in (b"CreationDate", b"<dc:date>"))
