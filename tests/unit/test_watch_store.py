"""The database of signals: what is read is what was written, old rows go, and trouble is told and outlived."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from unmask.errors import DataError, UserError
from unmask.watch import writer as writing
from unmask.watch.keys import key_in
from unmask.watch.settings import WatchSettings
from unmask.watch.store import NAME, STORED, Captured, append, connect, export_parquet, forget, models_in, read
from unmask.watch.window import CLASSES, NUMBERS, Window, joined
from unmask.watch.writer import Writer

KEY = b"k" * 32
NOW = 1_800_000_000.0


def made(count: int, seed: int = 0, *, since: float = NOW, every: float = 1.0, width: int = 4) -> Window:
    """Return a window of which half of the numbers and of the vectors are not measured."""
    chance = np.random.default_rng(seed)
    numbers = {name: np.where(chance.random(count) < 0.5, np.nan, chance.normal(size=count)) for name in STORED}
    embedding = chance.normal(size=(count, width)).astype(np.float32)
    embedding[chance.random(count) < 0.5] = np.nan
    return Window(
        time=np.asarray(since + every * np.arange(count), np.float64),
        numbers={name: numbers.get(name, np.full(count, np.nan)) for name in NUMBERS},
        classes={name: np.array(["", "one", "ünö"])[chance.integers(3, size=count)] for name in CLASSES},
        embedding=embedding if width else None,
        key=np.array([f"{n:032x}" for n in chance.integers(1 << 30, size=count)]),
    )


def same(one: Window, other: Window) -> None:
    np.testing.assert_array_equal(one.time, other.time)
    for name in NUMBERS:
        np.testing.assert_array_equal(one.numbers[name], other.numbers[name])
    for name in CLASSES:
        np.testing.assert_array_equal(one.classes[name], other.classes[name])
    np.testing.assert_array_equal(one.key, other.key)
    np.testing.assert_array_equal(one.embedding, other.embedding)


def write(folder: Path, *captured: Captured) -> None:
    connection = connect(folder, 1.0)
    append(connection, captured)
    connection.close()


@settings(max_examples=20)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 1000))
def test_what_is_read_is_what_was_written(sizes: list[int], seed: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        parts = [made(size, seed + n, since=NOW + 100 * n) for n, size in enumerate(sizes)]
        write(Path(name), *(Captured("m", "embed", part) for part in parts[::-1]))
        whole = joined(parts)
        if whole.embedding is not None and np.isnan(whole.embedding).all():
            whole = replace(whole, embedding=None)
        same(read(Path(name)), whole)


def test_a_window_is_of_one_model_and_of_its_time(tmp_path: Path) -> None:
    one, two = made(50), made(30, 1, since=NOW + 0.5)
    write(tmp_path, Captured("one", "tag", one), Captured("two", "classify", two, [f"text {n}" for n in range(30)]))
    assert models_in(tmp_path) == ["one", "two"]
    same(read(tmp_path, "one"), one)
    same(read(tmp_path, "two", NOW + 10, NOW + 20), two.rows((two.time >= NOW + 10) & (two.time < NOW + 20)))
    assert len(read(tmp_path, "one", until=NOW)) == 0
    with pytest.raises(DataError, match="several models; say which: one, two"):
        read(tmp_path)
    with pytest.raises(DataError, match="no signals of too; did you mean 'two'"):
        read(tmp_path, "too")


def test_folders_without_signals_are_told_of(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no signals\.sqlite; make one: unmask serve MODEL --watch"):
        read(tmp_path)
    connect(tmp_path, 1.0).close()
    with pytest.raises(DataError, match="holds no signals yet"):
        read(tmp_path)
    (tmp_path / NAME).write_bytes(b"something else" * 100)
    with pytest.raises(DataError, match="can not be read as a database of signals"):
        models_in(tmp_path)
    (tmp_path / NAME).unlink()
    other = sqlite3.connect(tmp_path / NAME)
    other.executescript(
        "CREATE TABLE about (name TEXT, value TEXT); INSERT INTO about VALUES ('format', 'unmask-watch 9')"
    )
    other.close()
    with pytest.raises(DataError, match="is unmask-watch 9, and unmask-watch 1 is what is read here"):
        models_in(tmp_path)


def test_signals_leave_as_parquet(tmp_path: Path) -> None:
    one, two = made(50), made(30, 1, width=0)
    write(tmp_path, Captured("one", "tag", one), Captured("two", "classify", two, [f"text {n}" for n in range(30)]))
    assert export_parquet(tmp_path, tmp_path / "all.parquet") == 80
    assert export_parquet(tmp_path, tmp_path / "one.parquet", "one") == 50
    found = parquet.read_table(tmp_path / "one.parquet").to_pydict()
    assert found["time"] == one.time.tolist()
    assert found["model"] == ["one"] * 50
    assert [np.nan if value is None else value for value in found["tokens"]] == pytest.approx(
        one.numbers["tokens"], nan_ok=True
    )
    assert one.embedding is not None
    for row, vector in zip(found["embedding"], one.embedding, strict=True):
        assert np.isnan(vector).all() if row is None else row == vector.tolist()
    texts = parquet.read_table(tmp_path / "all.parquet").to_pydict()["text"]
    assert sorted(filter(None, texts)) == sorted(f"text {n}" for n in range(30))


def test_old_signals_are_removed(tmp_path: Path) -> None:
    write(tmp_path, Captured("m", "tag", made(100)))
    connection = connect(tmp_path, 1.0)
    assert forget(connection, NOW + 40, 1e9) == 40
    assert forget(connection, NOW + 40, 1e9) == 0
    assert read(tmp_path).time.min() == NOW + 40
    connection.close()


def test_the_database_does_not_outgrow_its_room(tmp_path: Path) -> None:
    connection, room = connect(tmp_path, 1.0), 200_000
    for n in range(30):
        append(connection, [Captured("m", "tag", made(200, n, since=NOW + 200 * n, width=32))])
        forget(connection, 0.0, room)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        assert (tmp_path / NAME).stat().st_size < 1.5 * room
    left = read(tmp_path).time
    assert left.max() == NOW + 5999  # the newest stay
    assert 200 < len(left) < 3000
    assert (np.diff(left) == 1).all()  # and all of them
    connection.close()


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path / "watch", WatchSettings(days=36500), key_in(tmp_path / "watch"))


def test_a_locked_database_is_written_to_once_it_is_free(writer: Writer, tmp_path: Path) -> None:
    folder = tmp_path / "watch"
    writer.put(Captured("m", "tag", made(5)))
    writer.write()
    other = sqlite3.connect(folder / NAME, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    writer.put(Captured("m", "tag", made(7, since=NOW + 10)))
    start = time.monotonic()
    writer.write()
    assert time.monotonic() - start < 3 * writing.LOCKED_SECONDS
    assert "locked" in writer.trouble
    assert (writer.written, writer.dropped) == (5, 0)
    other.execute("ROLLBACK")
    other.close()
    writer.write()
    assert (writer.trouble, writer.written) == ("", 12)
    writer.close()
    assert len(read(folder)) == 12


@pytest.mark.parametrize("what", ["the database", "all of it"])
def test_a_deleted_database_is_made_anew(what: str, writer: Writer, tmp_path: Path) -> None:
    folder = tmp_path / "watch"
    writer.put(Captured("m", "tag", made(5)))
    writer.write()
    key = (folder / "key").read_bytes()
    for path in folder.iterdir():
        if what == "all of it" or path.name == NAME:
            path.unlink()
    if what == "all of it":
        folder.rmdir()
    writer.put(Captured("m", "tag", made(7, since=NOW + 10)))
    writer.write()
    assert writer.trouble == ""
    assert len(read(folder)) == 7
    assert (folder / "key").read_bytes() == key
    writer.close()


def test_what_does_not_fit_any_more_is_dropped_and_counted(
    writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MOST_WAITING", 20)
    (tmp_path / "watch" / NAME).mkdir()  # can not be opened
    for n in range(5):
        writer.put(Captured("m", "tag", made(8, since=NOW + 10 * n)))
        writer.write()
    assert writer.trouble == "unable to open database file"
    assert (writer.written, writer.dropped, writer.last_write) == (0, 24, 0)
    (tmp_path / "watch" / NAME).rmdir()
    writer.write()
    assert (writer.written, writer.trouble) == (16, "")
    assert writer.last_write > 0
    (tmp_path / "watch" / NAME).unlink()
    (tmp_path / "watch" / NAME).mkdir()
    writer.put(Captured("m", "tag", made(3)))
    writer.write()
    writer.abandon()
    assert writer.dropped == 27


def test_reading_and_writing_do_not_wait_for_each_other(writer: Writer, tmp_path: Path) -> None:
    counts: list[int] = []
    writer.put(Captured("m", "tag", made(10)))
    writer.write()
    reader = threading.Thread(target=lambda: counts.extend(len(read(tmp_path / "watch")) for _ in range(30)))
    reader.start()
    while reader.is_alive():
        writer.put(Captured("m", "tag", made(10)))
        writer.write()
        assert writer.trouble == ""
    writer.close()
    assert counts == sorted(counts)  # whole writes only, none lost
    assert {count % 10 for count in counts} == {0}


def test_the_key_is_for_its_owner_alone_and_stays(tmp_path: Path) -> None:
    key = key_in(tmp_path / "watch")
    assert key == key_in(tmp_path / "watch")
    assert len(key) == 32
    assert (tmp_path / "watch" / "key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "watch").iterdir()] == ["key"]
    (tmp_path / "watch" / "key").write_bytes(b"short")
    with pytest.raises(DataError, match="is damaged"):
        key_in(tmp_path / "watch")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="in the way"):
        key_in(tmp_path / "file" / "watch")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_folder_that_can_not_be_written_to_is_told_of(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="can not be written"):
        key_in(tmp_path / "watch")
    tmp_path.chmod(0o700)
