"""The inspector: what is in a document, found in a child process that a bad document may crash, hang or fill."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO

import msgspec

from include.enrichment.documents.document import Inspected
from include.enrichment.errors import LakeError, SetupError
from include.gateways.disk import disk_errors
from include.gateways.documents.inspection import messages

_WORKER = "include.gateways.documents.inspection.worker"
#: A child process is replaced after this many requests, so that what its libraries leak does not add up.
_MOST_REQUESTS = 500
#: As many seconds by the clock may pass for each second of processor time.
_PATIENCE = 10
_START_SECONDS = 60
_END_SECONDS = 2
#: A reply is never longer than the text of a document and what its pages take around it.
_MOST_REPLY_BYTES = 512 << 20

_encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[messages.Kind | messages.Reply] = msgspec.msgpack.Decoder(
    messages.Kind | messages.Reply
)


class CannotMake(LakeError):
    """
    What is to be sent cannot be made from the object.

    :param problem: why, in words that continue "the document"
    """

    retryable = False

    def __init__(self, problem: str, *, path: Path, recipe: str) -> None:
        super().__init__(f"The recipe '{recipe}' cannot be applied to {path}: the document {problem}.")
        self.problem = problem


class _Ended(Exception):
    """
    The child process ended without a reply. The message continues "the document".

    :param is_certain: it would do so again
    :param media_type: of the document; empty: it ended before that was known
    """

    def __init__(self, message: str, *, is_certain: bool = False, media_type: str = "") -> None:
        super().__init__(f"is {media_type} and {message}" if media_type else message)
        self.is_certain = is_certain
        self.media_type = media_type


class Inspector:
    """
    Inspects documents, and makes what is sent of them.

    One child process reads all documents. It has a clean environment, no secrets, and limits on memory and time. If it
    ends at a document that was not its first, what came before may be at fault: the document is tried once more, in a
    new process. Use it as a context manager. Threads may share it; it does one thing at a time.

    :param seconds: the processor time that a document may take, and by the clock ten times as much, because others use
        the processor too
    :param memory_bytes: the address space of the child process
    """

    def __init__(self, seconds: int = 30, memory_bytes: int = 1 << 30) -> None:
        self._seconds = seconds
        self._memory_bytes = memory_bytes
        self._child: _Child | None = None
        self._one_at_a_time = threading.Lock()

    def __enter__(self) -> Inspector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._one_at_a_time:
            self._end_child()

    def inspect(self, path: Path) -> Inspected:
        """
        Return what is in the file. A bad document does not raise: ``problem`` says what is wrong with it.

        Raises SetupError if the file cannot be read or the child process cannot be started.
        """
        try:
            reply = self._ask(messages.Inspect(str(path.absolute())), path)
        except _Ended as error:
            return Inspected(media_type=error.media_type, problem=str(error))
        assert isinstance(reply, messages.Found)
        return reply.inspected

    def make(self, path: Path, recipe: str, out: Path) -> None:
        """
        Make the file ``out`` from the one at ``path``, with the same bytes every time.

        Raises CannotMake if the document does not allow it, and SetupError if a file cannot be read or written or the
        child process cannot be started. ``out`` is then undefined.
        """
        try:
            reply = self._ask(messages.Make(str(path.absolute()), recipe, str(out.absolute())), out)
        except _Ended as error:
            raise CannotMake(str(error), path=path, recipe=recipe) from error
        if isinstance(reply, messages.CannotMake):
            raise CannotMake(reply.problem, path=path, recipe=recipe)

    def _ask(self, request: messages.Request, path: Path) -> messages.Reply:
        with self._one_at_a_time:
            was_used = self._child is not None
            try:
                reply = self._ask_once(request)
            except _Ended as error:
                if error.is_certain or not was_used:
                    raise
                reply = self._ask_once(request)
        if isinstance(reply, messages.DiskFailed):
            with disk_errors(path):
                raise OSError(reply.number, reply.text, reply.path)
        return reply

    def _ask_once(self, request: messages.Request) -> messages.Reply:
        if self._child and self._child.requests >= _MOST_REQUESTS:
            self._end_child()
        if self._child is None:
            self._child = _Child(self._seconds, self._memory_bytes)
        media_type = ""
        try:
            self._child.send(_encode(request))
            while isinstance(reply := self._child.receive(), messages.Kind):
                media_type = reply.media_type
            return reply
        except _Ended as error:
            self._end_child()
            raise _Ended(str(error), is_certain=error.is_certain, media_type=media_type) from error
        except BaseException:
            # Also for an interrupt: a reply that is still to come would be taken for that of the next document.
            self._end_child()
            raise

    def _end_child(self) -> None:
        if self._child:
            self._child.end()
            self._child = None


class _Child:
    """A running child process."""

    def __init__(self, seconds: int, memory_bytes: int) -> None:
        self._seconds = seconds
        self._memory_bytes = memory_bytes
        self.requests = 0
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", _WORKER, str(seconds), str(memory_bytes)],
            # It finds what this process finds. Nothing else is handed down, least of all the secrets of connections.
            env={"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path), "PYTHONUTF8": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            cwd="/",
        )
        try:
            if self._receive(_START_SECONDS) != messages.READY:
                raise _Ended("")
        except _Ended as error:
            self._errors.seek(0)
            last = self._errors.read()[-400:].decode(errors="replace").strip() or "no output"
            self.end()
            raise SetupError(
                f"The process that reads documents cannot be started with {sys.executable}: {last}\n"
                "No document was read. Check that the project's requirements are installed there, then clear the task.",
                retryable=True,
            ) from error

    def send(self, message: bytes) -> None:
        """Send a request. Raises _Ended if nobody reads it."""
        self.requests += 1
        assert self._process.stdin
        try:
            self._process.stdin.write(messages.LENGTH.pack(len(message)) + message)
        except BrokenPipeError as error:
            raise self._how_it_ended() from error

    def receive(self) -> messages.Kind | messages.Reply:
        """Return the next message. Raises _Ended if there is none in time."""
        try:
            return _decoder.decode(self._receive(_PATIENCE * self._seconds))
        except msgspec.DecodeError as error:
            raise _Ended("makes the process that reads it reply with nonsense") from error

    def end(self) -> None:
        """End the process, which has nothing to lose, and close its pipes."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            if pipe:
                pipe.close()

    def _receive(self, seconds: float) -> bytes:
        deadline = time.monotonic() + seconds
        (length,) = messages.LENGTH.unpack(self._read(messages.LENGTH.size, deadline))
        if length > _MOST_REPLY_BYTES:
            raise _Ended(f"has too much text to be sent: {length / 1e6:,.0f} MB")
        return self._read(length, deadline)

    def _read(self, size: int, deadline: float) -> bytes:
        assert self._process.stdout
        pipe = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        data = bytearray()
        while len(data) < size:
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise _Ended(f"cannot be read in {_PATIENCE * self._seconds:g} seconds")
            piece = os.read(pipe, min(size - len(data), 1 << 20))
            if not piece:
                raise self._how_it_ended()
            data += piece
        return bytes(data)

    def _how_it_ended(self) -> _Ended:
        try:
            code = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            return _Ended("makes the process that reads it close its output")
        if code == -signal.SIGXCPU:
            return _Ended(f"takes more than {self._seconds} seconds of processor time to be read", is_certain=True)
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        memory = f"{self._memory_bytes / 1e6:,.0f} MB"
        return _Ended(
            f"crashes the process that reads it ({name}): it is broken, or needs more than {memory} of memory"
        )
