"""The JSON of prompts: the filter ``| tojson``."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any

from include.enrichment.requests.prompt_values import NULL, UnsupportedValue

_in_quotes = json.encoder.encode_basestring
_LISTS = (list, tuple, range)
_SURROGATE = re.compile("[\ud800-\udfff]")


def to_json(value: object) -> str:
    """
    Format a value as ``json.dumps`` does, with sorted keys, but with plain UTF-8 and the prompt's numbers and dates.

    Raises UnsupportedValue for a value without a text.
    """
    text = _to_json(value)
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can escape what UTF-8 cannot encode
        return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return text


def _to_json(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return _in_quotes(value)
    if kind is dict:
        try:
            keys = sorted(value)
        except (TypeError, UnsupportedValue):
            keys = sorted(value, key=str)
        parts = [f"{_in_quotes(key) if type(key) is str else _key(key)}: {_to_json(value[key])}" for key in keys]
        return f"{{{', '.join(parts)}}}"
    if kind is int:
        return str(value)
    if kind is list or isinstance(value, _LISTS):
        return f"[{', '.join([_to_json(item) for item in value])}]"
    if value is NULL or value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if isinstance(value, float):
        return str(value) if math.isfinite(value) else json.dumps(value)
    if isinstance(value, Decimal):
        return str(value)
    return _in_quotes(str(value))


def _key(key: object) -> str:
    text = _to_json(key)
    return text if text.startswith('"') else f'"{text}"'
