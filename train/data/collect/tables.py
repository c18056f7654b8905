"""Rows of Parquet files from anywhere: few at a time, whatever a row group holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .sources import open_regular

_BATCH_ROWS = 256
_BATCH_BYTES = 256 << 20  # if every row were as large as its row group
_GROUP_ALLOWED = 64 << 20  # bytes of a row group, however little they came from
_MOST_EXPANSION = 200  # times, unpacked and decoded from a dictionary apart
_LARGEST_GROUP = 4 << 30  # bytes


class NotReadable(Exception):
    """A table, or the rest of it, cannot be read; the message is the reason it is counted under."""


def rows(path: Path, start: int, stop: int | None, columns: tuple[str, ...], text: tuple[str, ...]) -> Iterator[Any]:
    """The rows of some row groups, each a dict of the columns that are there; text comes as bytes.

    Args:
        path: of a regular file.
        start: first row group.
        stop: the one after the last; None for all.
        columns: that are wanted; those that are missing are left out.
        text: those of them of which the first that is there is needed.

    Raises:
        NotReadable: damaged, has none of the columns of text, or unpacks to far more than text does.
        OSError: not readable.
    """
    with open_regular(path) as file:
        try:
            table = pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
            schema = table.schema_arrow
            have = [name for name in columns if schema.names.count(name) == 1]
            needed = next((name for name in text if name in have), None)
            if needed is None or not _is_text(schema.field(needed).type):
                raise NotReadable("a table without a column of text")
            have = [name for name in have if name == needed or name not in text]
            last = table.metadata.num_row_groups if stop is None else min(stop, table.metadata.num_row_groups)
            for group in range(start, last):
                size = _checked_size(table.metadata.row_group(group), have)
                few = max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(size, 1)))
                for batch in table.iter_batches(few, row_groups=[group], columns=have, use_threads=False):
                    for i in range(batch.num_rows):
                        yield {name: _value(batch.column(name)[i], name == needed) for name in batch.schema.names}
        except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
            raise NotReadable("a damaged table") from error


def _is_text(type_: pa.DataType) -> bool:
    value = type_.value_type if pa.types.is_dictionary(type_) else type_
    return bool(pa.types.is_string(value) or pa.types.is_large_string(value))


def _checked_size(group: Any, wanted: list[str]) -> int:
    """Bytes that a value of a row group may take: as many as its column, where rows may share one in a dictionary."""
    largest = 0
    for i in range(group.num_columns):
        column = group.column(i)
        if column.path_in_schema.partition(".")[0] in wanted:
            size = max(int(column.total_uncompressed_size), 0)
            swollen = size > _GROUP_ALLOWED and size > _MOST_EXPANSION * max(column.total_compressed_size, 1)
            if swollen or size > _LARGEST_GROUP:
                raise NotReadable("a table that unpacks to too much")
            largest = max(largest, size if column.has_dictionary_page else 0)
    return largest


def _value(scalar: Any, raw: bool) -> Any:
    """A cell; text as bytes, since a file may call bytes a string that are none."""
    if isinstance(scalar, pa.DictionaryScalar):
        scalar = scalar.value
    if raw:
        buffer = scalar.as_buffer() if scalar.is_valid else None
        return None if buffer is None else buffer.to_pybytes()
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return None
