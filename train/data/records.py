"""Records: what every step of the data pipeline reads and writes, in Parquet shards.

A folder of shards is 00000.parquet, 00001.parquet, ... Each row is one document: where it came from, under which
licence, its text, how many tokens that is, and whatever steps have added in columns of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from edge_phi.atomic import atomic_path
from edge_phi.errors import InvalidCall, InvalidFile

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("license", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("tokens", pa.int32(), nullable=False),
    ]
)
_NAMES = frozenset(SCHEMA.names)
_ROW_GROUP_CHARACTERS = 4 << 20  # bounds what is in memory at once, on both sides
_ROW_GROUP_ROWS = 20_000


@dataclass(frozen=True)
class Record:
    """One document.

    Attributes:
        id: unique within a run of the pipeline.
        source: the collection it belongs to; recipes draw by it.
        path: its name within the source.
        license: an SPDX expression, or "unknown".
        text: valid Unicode without lone surrogates, lines ended by a line feed.
        tokens: of the text, as `tokens.count` counts them.
        added: what steps have added, by column.
    """

    id: str
    source: str
    path: str
    license: str
    text: str
    tokens: int
    added: Mapping[str, Any] = field(default_factory=dict)


def shards_of(folder: Path) -> list[Path]:
    """The shards in a folder, in order.

    Raises:
        InvalidCall: no such folder, or no shard in it.
    """
    shards = sorted(folder.glob("[0-9]*.parquet"))
    if not shards:
        raise InvalidCall(f"{folder}: holds no shards (00000.parquet, ...): give the folder of a finished step")
    return shards


def columns_of(shard: Path) -> dict[str, pa.DataType]:
    """The columns that steps have added to a shard, with their types.

    Raises:
        InvalidFile: no Parquet, or a column of every record's is missing or of another type.
    """
    with _opened(shard) as file:
        return {column.name: column.type for column in file.schema_arrow if column.name not in _NAMES}


def read_records(shard: Path, *, added: Sequence[str] | None = None) -> Iterator[Record]:
    """The records of one shard, in order, few at a time.

    Args:
        shard: a Parquet file as `write_records` makes it.
        added: which of the columns that steps have added to read; all if None.

    Raises:
        InvalidFile: no Parquet, damaged, or a column of every record's is missing or of another type.
    """
    with _opened(shard) as file:
        have = [name for name in file.schema_arrow.names if name not in _NAMES]
        extra = have if added is None else [name for name in have if name in added]
        try:
            for batch in file.iter_batches(batch_size=256, columns=[*SCHEMA.names, *extra], use_threads=False):
                for row in batch.to_pylist():
                    core = {name: row[name] for name in SCHEMA.names}
                    yield Record(**core, added={name: row[name] for name in extra})
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise InvalidFile(f"{shard}: damaged ({_first_line(error)}): remove it and run its step again") from error


def read_texts(shard: Path) -> Iterator[tuple[list[bytes], list[str]]]:
    """The texts of one shard, in UTF-8, and their sources, in order, 256 at a time: a third of `read_records`' time.

    Raises:
        InvalidFile: no Parquet, damaged, or a column of every record's is missing or of another type.
    """
    with _opened(shard) as file:
        try:
            for batch in file.iter_batches(batch_size=256, columns=["text", "source"], use_threads=False):
                yield batch.column("text").cast(pa.binary()).to_pylist(), batch.column("source").to_pylist()
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise InvalidFile(f"{shard}: damaged ({_first_line(error)}): remove it and run its step again") from error


def write_records(
    shard: Path, records: Iterable[Record], columns: Mapping[str, pa.DataType], *, seen: Callable[[Record], None]
) -> None:
    """Write one shard, whole or not at all; the same records give the same bytes.

    Args:
        shard: its path.
        records: consumed once, held a few megabytes at a time.
        columns: the added columns, with their types; a record without one gets null.
        seen: called with each record as it is written.

    Raises:
        EdgePhiError: the folder cannot be written to, or the disk is full.
    """
    schema = pa.schema([*SCHEMA, *(pa.field(name, type_) for name, type_ in columns.items())])
    held: list[dict[str, Any]] = []
    size = 0
    with (
        atomic_path(shard) as partial,
        pq.ParquetWriter(partial, schema, compression="zstd", use_dictionary=["source", "license"]) as writer,
    ):
        for record in records:
            row = {name: getattr(record, name) for name in SCHEMA.names}
            held.append(row | {name: record.added.get(name) for name in columns})
            size += len(record.text)
            seen(record)
            if size >= _ROW_GROUP_CHARACTERS or len(held) >= _ROW_GROUP_ROWS:
                writer.write_table(pa.Table.from_pylist(held, schema=schema))
                held, size = [], 0
        if held:
            writer.write_table(pa.Table.from_pylist(held, schema=schema))


def _opened(shard: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(shard, pre_buffer=False)
    except FileNotFoundError as error:
        raise InvalidCall(f"{shard}: no such shard") from error
    except (pa.ArrowException, OSError) as error:
        raise InvalidFile(f"{shard}: not readable as Parquet ({_first_line(error)})") from error
    for column in SCHEMA:
        at = file.schema_arrow.get_field_index(column.name)
        if at < 0:
            file.close()
            raise InvalidFile(f"{shard}: has no column {column.name!r}: bring it in with 'edge-phi data collect'")
        if file.schema_arrow.field(at).type != column.type:
            problem = f"column {column.name!r} is {file.schema_arrow.field(at).type}, not {column.type}"
            file.close()
            raise InvalidFile(f"{shard}: {problem}: bring it in with 'edge-phi data collect'")
    return file


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0][:200]
