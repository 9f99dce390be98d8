"""How does this package touch the file system? Only here: safe readers, atomic writers, digests, slugs."""

from __future__ import annotations

from rai_bigmodel.files.parse import convert, parse_json, parse_yaml, read_yaml
from rai_bigmodel.files.read import (
    digest_of_file,
    mentions,
    name_and_version,
    read_beside,
    read_bytes,
    reading,
    regular_files,
    unnamed,
)
from rai_bigmodel.files.text import PathLike, canonical_json, digest, slug, visible
from rai_bigmodel.files.write import (
    alone,
    appending,
    is_left_over,
    make_folder,
    refuse_full,
    refuse_unwritable,
    remove,
    remove_folder,
    remove_with_files,
    write_bytes,
    writing,
)

__all__ = [
    "PathLike",
    "alone",
    "appending",
    "canonical_json",
    "convert",
    "digest",
    "digest_of_file",
    "is_left_over",
    "make_folder",
    "mentions",
    "name_and_version",
    "parse_json",
    "parse_yaml",
    "read_beside",
    "read_bytes",
    "read_yaml",
    "reading",
    "refuse_full",
    "refuse_unwritable",
    "regular_files",
    "remove",
    "remove_folder",
    "remove_with_files",
    "slug",
    "unnamed",
    "visible",
    "write_bytes",
    "writing",
]
