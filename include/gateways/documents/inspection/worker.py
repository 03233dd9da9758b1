"""
The inspector's child process: it reads requests from its standard input and writes replies to its standard output.

It is started as ``python -m include.gateways.documents.inspection.worker SECONDS MEMORY_BYTES``. It limits itself: the
memory it may have, the processor time of each request, and the size of a file it makes. It ends when its input ends.
Nothing that a document contains is executed: pdfium is built without JavaScript, and no other program or address is
opened.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from include.enrichment.documents.document import IMAGES, PDF, Inspected
from include.enrichment.documents.recipe import parse_recipe
from include.gateways.documents.inspection import messages
from include.gateways.documents.inspection.image import inspect_image, make_image
from include.gateways.documents.inspection.kind import kind_of
from include.gateways.documents.inspection.pdf import inspect_pdf, make_pdf
from include.gateways.documents.inspection.problem import Problem

#: The largest file that is made. A request takes far less, so only the copy of a bomb can be larger.
_MOST_MADE_BYTES = 1 << 30

_decode = msgspec.msgpack.Decoder(messages.Request).decode
_encode = msgspec.msgpack.Encoder().encode


def main(seconds: int, memory_bytes: int) -> None:
    """Answer requests until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    _be_the_first_to_go()
    requests = sys.stdin.buffer
    # What a library prints must not get between the replies.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_FSIZE, _MOST_MADE_BYTES)
    _limit(resource.RLIMIT_CORE, 0)
    _send(replies, messages.READY)
    while length := requests.read(messages.LENGTH.size):
        request = _decode(requests.read(messages.LENGTH.unpack(length)[0]))
        _limit_processor(seconds)
        for reply in _replies(request, memory_bytes):
            _send(replies, _encode(reply))


def _replies(request: messages.Request, memory_bytes: int) -> Iterator[messages.Kind | messages.Reply]:
    """Yield the kind of the document once it is known, then the reply."""
    path, media_type = Path(request.path), ""
    try:
        media_type = kind_of(path)
        yield messages.Kind(media_type)
        if isinstance(request, messages.Inspect):
            yield messages.Found(_inspect(path, media_type))
        else:
            _make(path, media_type, request.recipe, Path(request.out))
            yield messages.Made()
        return
    except OSError as error:
        if error.errno is not None:
            at = error.filename if isinstance(error.filename, str) else request.path
            yield messages.DiskFailed(error.errno, error.strerror or str(error), at)
            return
        problem = f"cannot be read: {str(error)[:200]}"  # a library's word for a broken document
    except Problem as error:
        problem, media_type = str(error), error.media_type or media_type
    except MemoryError:
        problem = f"needs more than {memory_bytes / 1e6:,.0f} MB of memory to be read"
    except RecursionError:
        problem = "cannot be read: its parts are nested too deeply"
    except Exception as error:  # whatever a library raises for a bad document
        problem = f"cannot be read: {type(error).__name__}: {str(error)[:200]}"
    if isinstance(request, messages.Inspect):
        yield messages.Found(Inspected(media_type=media_type, problem=problem))
    else:
        yield messages.CannotMake(problem)


def _inspect(path: Path, media_type: str) -> Inspected:
    if media_type == PDF:
        return inspect_pdf(path)
    if media_type in IMAGES:
        return inspect_image(path, media_type)
    # Is here because it takes a third of the process's start to import, and most documents are no texts.
    from include.gateways.documents.inspection.text import inspect_text

    return inspect_text(path, media_type)


def _make(path: Path, media_type: str, text: str, out: Path) -> None:
    recipe = parse_recipe(text)
    if media_type == PDF and (recipe.decrypted or recipe.pages):
        make_pdf(path, recipe, out)
    elif media_type in IMAGES and (recipe.upright or recipe.size):
        make_image(path, media_type, recipe, out)
    else:
        raise Problem(f"is {media_type}, from which {text!r} cannot be made")


def _be_the_first_to_go() -> None:
    """Have Linux end this process before its parent, or any other, if the machine's memory is full."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _limit(kind: int, most: int) -> None:
    # macOS knows some limits only by name.
    with suppress(ValueError, OSError):
        resource.setrlimit(kind, (most, most))


def _limit_processor(seconds: int) -> None:
    """End this process by a signal after more seconds of processor time, even if its parent is gone by then."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + seconds, hard))


def _send(replies: BinaryIO, message: bytes) -> None:
    replies.write(messages.LENGTH.pack(len(message)) + message)
    replies.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
