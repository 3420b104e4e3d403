"""Bytes, JSON values and words, made hostile. Everything is drawn from the generator that is passed in."""

import json
import struct
from collections.abc import Iterator
from random import Random
from typing import Any

_EDGES = (
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 40,
    (1 << 64) - 1,
)
_FLOATS = (0.0, -0.0, 1e-310, 1e10, 1e38, 3.4e38, 1e300, float("inf"), float("-inf"), float("nan"))
WORDS = (
    *("", " ", "\n", "a\nb", "\r", "\x1b[31m", "\udcff", "\ud800", "\u202e", "🎻", "é" * 40, "a" * 5000, "9" * 5000),
    *"0 1 -1 1e400 -1e400 nan inf -inf 1_000 0x10 ٣ ½ 99999999999999999999 none true False null [] () {}".split(),
    *", ,,,, a,b 1,2 - -- = \\ / . .. ../.. ~ %s%n {0} $HOME `id` http://x/y con default cpu".split(),
    *("/dev/null", "/dev/zero", "/proc/self/mem", "x" * 300 + ".wav", "1" + "0" * 400),
)
_RAW_VALUES = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "[" * 100_000,
    '{"a":' * 50_000,
    "9" * 5000,
    '"\\ud800"',
    '"\\u0000"',
)


def mutated_bytes(generator: Random, data: bytes, *, most: int = 8) -> bytes:
    """Change a file in one to `most` places; most of them lie near its beginning or end, where headers are."""
    content = bytearray(data)
    for _ in range(generator.choice((1, 1, 1, 2, 3, generator.randint(1, most)))):
        if not content:
            return bytes(content)
        _change(generator, content, _place(generator, len(content)))
    return bytes(content)


def _place(generator: Random, size: int) -> int:
    """Draw an offset: anywhere, or at a distance from either end whose logarithm is uniform."""
    if generator.random() < 0.4:
        return generator.randrange(size)
    distance = min(size - 1, int(2 ** generator.uniform(0, 12)) - 1)
    return distance if generator.random() < 0.75 else size - 1 - distance


def _change(generator: Random, content: bytearray, place: int) -> None:
    """Make one change at an offset."""
    kind = generator.randrange(9)
    length = min(len(content) - place, int(2 ** generator.uniform(0, 10)))
    if kind <= 1:
        content[place] ^= 1 << generator.randrange(8)
    elif kind == 2:
        content[place] = generator.randrange(256)
    elif kind == 3:
        code = generator.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
        number = generator.choice(_EDGES) & ((1 << 8 * struct.calcsize(code)) - 1)
        content[place : place + struct.calcsize(code)] = struct.pack(code, number)
    elif kind == 4:
        code = generator.choice(("<f", "<d"))
        value = generator.choice(_FLOATS)
        content[place : place + struct.calcsize(code)] = struct.pack(
            code, value if code == "<d" or abs(value) < 3.41e38 else 3.4e38
        )
    elif kind == 5:
        del content[place : place + length]
    elif kind == 6:
        content[place:place] = content[place : place + length] * generator.choice((1, 1, 2, 50))
    elif kind == 7:
        content[place : place + length] = bytes([generator.choice((0, 255, 32))]) * length
    else:
        del content[place:]


def hostile_value(generator: Random) -> Any:
    """Draw a JSON value that no setting expects."""
    return generator.choice(
        (
            *(None, True, False, -1, 0, 1, 2, 3.5, -0.5, 1e308, -1e308, 2**31, 2**53, 2**63, 10**40, 1 << 20, 10**9),
            *([], {}, [[]], [None], [0] * 10_000, {"a": {}}, "NaN", list(range(3)), [1, "a"], {"": None}),
            generator.choice(WORDS),
        )
    )


def mutated_json(generator: Random, value: Any) -> str:
    """Return JSON text in which one to three values are replaced, removed or renamed; at times it is no JSON."""
    value = json.loads(json.dumps(value))
    for _ in range(generator.choice((1, 1, 2, 3))):
        value = _change_json(generator, value)
    text = json.dumps(value, ensure_ascii=generator.random() < 0.5)
    if generator.random() < 0.25:
        leaves = [str(leaf) for _, leaf in _leaves(value) if isinstance(leaf, int | float) and str(leaf) in text]
        text = text.replace(generator.choice(leaves), generator.choice(_RAW_VALUES), 1) if leaves else text
    if generator.random() < 0.1:
        text = text[: generator.randrange(len(text) + 1)]
    return text


def _leaves(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield every value of a tree with the keys that lead to it."""
    yield place, value
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from _leaves(entry, (*place, key))


def _change_json(generator: Random, value: Any) -> Any:
    """Change one value of a tree in place, or the tree itself; return it."""
    place = generator.choice([place for place, _ in _leaves(value)])
    if not place:
        return hostile_value(generator) if generator.random() < 0.2 else value
    owner = value
    for key in place[:-1]:
        owner = owner[key]
    kind = generator.randrange(6)
    if kind == 0:
        del owner[place[-1]]
    elif kind == 1 and isinstance(owner, dict):
        owner[generator.choice((*WORDS[:8], f"{place[-1]}x"))] = owner.pop(place[-1])
    elif kind == 1:
        owner.append(owner[place[-1]])
    elif kind == 2 and isinstance(owner[place[-1]], int | float):
        owner[place[-1]] = owner[place[-1]] * generator.choice((-1, 0, 0.5, 10, 1000, 2**32))
    else:
        owner[place[-1]] = hostile_value(generator)
    return value


def mutated_table(generator: Random, text: str) -> bytes:
    """Change cells, rows or the header of a CSV table, or its bytes."""
    if generator.random() < 0.3:
        return mutated_bytes(generator, text.encode())
    rows = [line.split(",") for line in text.splitlines()]
    for _ in range(generator.choice((1, 1, 2, 4))):
        row = generator.randrange(len(rows))
        kind = generator.randrange(6)
        if kind <= 2 and rows[row]:
            rows[row][generator.randrange(len(rows[row]))] = generator.choice((*WORDS, "\0", '"', '"a', 'a""b'))
        elif kind == 3:
            rows.insert(row, list(rows[row]))
        elif kind == 4 and rows[row]:
            rows[row].pop()
        elif len(rows) > 1:
            rows.pop(row)
    content = "\n".join(map(",".join, rows)).encode("utf-8", "surrogatepass")
    return generator.choice((b"", b"", b"", b"\xef\xbb\xbf", b"\xff\xfe")) + content
