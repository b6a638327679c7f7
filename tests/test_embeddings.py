import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cia_bench.embeddings import load_embeddings
from cia_bench.errors import EmbeddingError
from cia_bench.tables import write_embeddings

IDS = ["P01/videos/P01_11_1.6_2.4", "138629", "YSKX3_12.1_16.6"]
VECTORS = np.arange(12, dtype=np.float32).reshape(3, 4) / 7


def write_parquet(folder):
    write_embeddings(folder / "e.parquet", IDS, VECTORS)
    return folder / "e.parquet"


def write_npz(folder):
    np.savez(folder / "e.npz", ids=np.array(IDS), features=VECTORS)
    return folder / "e.npz"


def write_folder(folder):
    for clip_id, vector in zip(IDS, VECTORS, strict=True):
        path = folder / "e" / f"{clip_id}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, vector)
    return folder / "e"


def make_frame(folder):
    return pd.DataFrame({"clip_id": IDS, "embedding": list(VECTORS)})


@pytest.mark.parametrize("write", [write_parquet, write_npz, write_folder, make_frame])
def test_every_form_gives_the_same_embeddings_and_digest(write, tmp_path):
    loaded = load_embeddings(write(tmp_path))
    assert set(loaded.clip_ids) == set(IDS)
    np.testing.assert_array_equal(loaded.vectors[loaded.clip_ids.get_indexer(IDS)], VECTORS)
    reference = load_embeddings(make_frame(tmp_path))
    assert loaded.origin["sha256"] == reference.origin["sha256"]
    assert (loaded.origin["dtype"], loaded.origin["clips"]) == ("float32", 3)
    assert loaded.origin["name"] == ("unnamed" if write is make_frame else "e")


def test_a_digest_tells_ids_numbers_and_type_apart():
    def digest(ids, vectors):
        return load_embeddings(pd.DataFrame({"clip_id": ids, "embedding": list(vectors)})).origin["sha256"]

    digests = [
        digest(IDS, VECTORS),
        digest(IDS[::-1], VECTORS),
        digest(IDS, VECTORS + 1),
        digest(IDS, VECTORS.astype(np.float64)),
    ]
    assert len(set(digests)) == 4
    assert digest(IDS[::-1], VECTORS[::-1]) == digests[0]


def test_a_folder_keeps_its_whole_name_even_as_the_current_one(tmp_path, monkeypatch):
    folder = tmp_path / "dino.v2"
    folder.mkdir()
    np.save(folder / "a.npy", np.ones(3))
    assert load_embeddings(folder).origin["name"] == "dino.v2"
    monkeypatch.chdir(folder)
    assert load_embeddings(".").origin["name"] == "dino.v2"


def test_whole_numbers_are_taken_as_they_are(tmp_path):
    np.savez(tmp_path / "e.npz", ids=np.array(["a", "b"]), features=np.array([[1, 2], [3, 4]]))
    assert load_embeddings(tmp_path / "e.npz").vectors.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def frame(ids, vectors) -> pd.DataFrame:
    return pd.DataFrame({"clip_id": ids, "embedding": list(vectors)})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (frame(["a", "b", "a"], np.zeros((3, 2))), "clip ids stand there twice: 'a'; give each clip one"),
        (frame(["a", "b"], [[1.0, np.nan], [np.inf, 0]]), "NaN or infinite numbers in the embedding of 'a' and 1 more"),
        (frame(["a", "b"], [[1.0, 2.0], [3.0]]), r"the embedding of 'b' has shape \(1,\), that of 'a' \(2,\)"),
        (frame(["a"], [["x"]]), "the embedding of 'a' is"),
        (frame(["a"], [None]), "the embedding of 'a' is object"),
        (frame(["a"], [3.0]), "the embedding of 'a' is float64"),
        (frame(["a"], [[]]), "vectors of no numbers"),
        (frame([], []), "holds no embedding"),
        (frame([7], [[1.0]]), "clip ids must be text, not 7"),
        (frame(["a"], np.zeros((1, 16, 3))), r"arrays of shape \(16, 3\) a clip; make them one vector"),
        (pd.DataFrame({"clip_id": ["a"]}), "lacks column embedding"),
    ],
)
def test_frames_that_can_not_be_scored_are_refused(source, message):
    with pytest.raises(EmbeddingError, match=message):
        load_embeddings(source)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"ids": np.array(["a"], dtype=object), "x": np.zeros((1, 2))}, r"save ids as np.array\(ids, dtype=str\)"),
        ({"x": np.zeros((1, 2))}, r"needs one array of clip ids .* it holds x \(float64, \(1, 2\)\)"),
        ({"ids": np.array(["a"]), "x": np.zeros((1, 2)), "y": np.zeros((1, 2))}, "needs one array of clip ids"),
        ({"ids": np.array(["a", "b"]), "x": np.zeros((1, 2))}, "holds 2 clip ids and 1 embeddings"),
        ({}, "it holds nothing"),
    ],
)
def test_npz_files_that_are_none_are_refused(arrays, message, tmp_path):
    np.savez(tmp_path / "e.npz", **arrays)
    with pytest.raises(EmbeddingError, match=message):
        load_embeddings(tmp_path / "e.npz")


def test_ids_that_are_no_unicode_text_are_refused_or_kept_apart(tmp_path):
    ids = np.array(["a", "b"])
    ids.view(np.uint32)[0] = 0x110000  # beyond Unicode
    np.savez(tmp_path / "e.npz", ids=ids, x=np.zeros((2, 2)))
    with pytest.raises(EmbeddingError, match="e.npz can't be read as npz"):
        load_embeddings(tmp_path / "e.npz")
    ids.view(np.uint32)[0] = 0xD800  # half of a pair
    np.savez(tmp_path / "e.npz", ids=ids, x=np.zeros((2, 2)))
    assert load_embeddings(tmp_path / "e.npz").clip_ids.tolist() == ["\ud800", "b"]


def test_a_pickle_is_never_opened(tmp_path):
    marker = tmp_path / "ran"

    class Bomb:
        def __reduce__(self):
            return (marker.touch, ())

    (tmp_path / "e").mkdir()
    np.save(tmp_path / "e" / "a.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(EmbeddingError, match="a.npy can't be read as npy without pickle"):
        load_embeddings(tmp_path / "e")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("e.npz", b"PK\x03\x04 cut", "e.npz can't be read as npz"),
        ("e.npz", b"", "e.npz can't be read as npz"),
        ("e.parquet", b"PAR1", "e.parquet can't be read as Parquet"),
        (
            "e.txt",
            b"1 2 3",
            "can't tell what .*e.txt is by its name; give a store that cia extract wrote, a .parquet file",
        ),
        ("e/a.npy", b"\x93NUM", "a.npy can't be read as npy"),
        ("e/a.txt", b"", "holds no .npy file"),
    ],
)
def test_damaged_or_foreign_files_are_named(name, content, message, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(Exception, match=message) as error:
        load_embeddings(tmp_path / name.split("/")[0])
    assert type(error.value).__module__ == "cia_bench.errors"


def test_a_parquet_of_no_rows_is_refused_like_any_other(tmp_path):
    lists = pa.array([], pa.list_(pa.float32()))
    pq.write_table(pa.table({"clip_id": pa.array([], pa.string()), "embedding": lists}), tmp_path / "e.parquet")
    with pytest.raises(EmbeddingError, match="e.parquet holds no embedding"):
        load_embeddings(tmp_path / "e.parquet")


def test_embeddings_that_do_not_exist_are_named(tmp_path):
    with pytest.raises(EmbeddingError, match="none.npz do not exist"):
        load_embeddings(tmp_path / "none.npz")
