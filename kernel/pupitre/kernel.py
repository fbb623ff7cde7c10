# SPDX-License-Identifier: BSD-3-Clause
"""`get_ipython().kernel`: takes requests from the link and sees that each is answered; and the attributes other
packages look for.
"""

import logging
import os
import sys
from asyncio import iscoroutine
from collections.abc import Callable
from typing import Any

from traitlets import Bool, Float, List
from traitlets.config.configurable import SingletonConfigurable

from . import door, info, parent
from .compat import CONTROL, IOPUB, SESSION, SHELL, STDIN, THREAD, io_loop
from .execute import Executor, Outcome, leave_child
from .history import WRITE_AFTER
from .introspect import Introspection
from .jsonout import encode
from .later import Completed
from .loop import Loop
from .parent import Parent, adopt
from .pause import Pause
from .shell import ZMQInteractiveShell
from .stdin import Stdin
from .unseen import unseen_methods
from .wire import done, error_content, name_of, refuse, reply

Handler = Callable[[Any, Any, Any], Any]

LINGER = 0.2  # seconds from the reply to exit() to the end: clients stop reading when they find the process gone
REST_AFTER = 3.0  # seconds of quiet: a class that arrives all at once has better things to do
LOG = logging.getLogger("pupitre")
_EXECUTE = "execute_request"
_UNUSED = "Accepted because configuration files have it; Pupitre has no use for it."


@unseen_methods
class Kernel(Completed, SingletonConfigurable):
    """One per process. Everything runs in the main thread."""

    use_experimental_completions = Bool(True, help="Complete with types and signatures.").tag(config=True)
    help_links = List(info.HELP_LINKS, help="Links for the client's Help menu: dicts of text and url.").tag(config=True)
    stop_on_error_timeout = Float(0.0, help=_UNUSED).tag(config=True)
    debug_just_my_code = Bool(False, help=_UNUSED).tag(config=True)
    filter_internal_frames = Bool(True, help=_UNUSED).tag(config=True)
    _execute_sleep = Float(0.0, help=_UNUSED).tag(config=True)
    _poll_interval = Float(0.0, help=_UNUSED).tag(config=True)

    _private_too = ("_topic", "_aborting", "_main_asyncio_lock", "_publish_status", "_send_abort_reply")

    user_ns = property(lambda self: self.shell.user_ns)

    session, iopub_socket, stdin_socket, iopub_thread = SESSION, IOPUB, STDIN, THREAD
    shell_stream = shell_socket = SHELL
    control_stream = CONTROL
    eventloop: Any = None

    # Plain attributes, where ipykernel has traits: each is read several times per request.
    shell: ZMQInteractiveShell
    shell_handlers: dict[str, Handler]

    loop: Loop

    def __init__(self, loop: Loop | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if loop is not None:  # a template has none: descriptors must not be shared by its children
            self.loop = loop
        self.control_handlers: dict[str, Handler] = {}  # control is the front's; here for those who add to it
        self.shell_handlers = {}
        self.ident = ""
        self.allow_stdin = False
        self.newest_cell: Parent | None = None  # that is no silent one
        self.status = 0
        self._serving: Parent = parent.NOBODY
        self._comms: Any = None
        self.writing = Pause(self, WRITE_AFTER, self._write_history)
        self.resting: Pause | None = None  # in forked workers
        self.stay_until = 0.0  # loop.time() before which the process may not end
        self.stdin = Stdin(self)

    def begin(self, shell: ZMQInteractiveShell) -> None:
        """The shell exists: requests can be served from now on."""
        self.shell = shell
        self.executor = Executor(self, shell)
        self.introspection = Introspection(shell, self.use_experimental_completions)
        looks = self.introspection
        self._serve: dict[str, Callable[[Parent], Any]] = {
            _EXECUTE: self.executor.execute,
            "complete_request": lambda message: self._look(looks.complete, message),
            "inspect_request": lambda message: self._look(looks.inspect, message),
            "is_complete_request": lambda message: self._look(looks.is_complete, message),
            "history_request": lambda message: self._look(looks.history, message),
            "comm_info_request": lambda message: self._look(self.comms.info, message),
            "comm_open": self._comm,
            "comm_msg": self._comm,
            "comm_close": self._comm,
        }
        notebook = os.environ.get("JPY_SESSION_NAME")
        if notebook:
            shell.user_ns["__session__"] = notebook
        self.stdin.install()
        self._stock = {name: self._as_handler(name, serve) for name, serve in self._serve.items()}
        self.shell_handlers = dict(self._stock)

    # Frames.

    def handle(self, frame_type: int, flags: int, serial: int, parts: list[bytes]) -> bool | None:
        """Serve one frame; True if the reply comes later. Called by C as ours, whatever it raises ends in fail()."""
        if frame_type == door.REQUEST:
            return self._request(serial, parts)
        if frame_type == door.EXIT:
            self.loop.stop_serving()
        return None

    def fail(self, serial: int, error: BaseException) -> None:
        """A handler raised or forgot to answer. The request gets an error reply all the same."""
        if self._serving.serial == serial:
            self._refuse(self._serving, error)

    def _refuse(self, message: Parent, error: BaseException) -> None:
        """Close a request that is not or not wholly served."""
        if message["msg_type"].endswith("_request"):
            refuse(message, error)
        else:
            done(message.serial)

    def _request(self, serial: int, parts: list[bytes]) -> bool | None:
        self._serving = parent.NOBODY
        try:
            message = parent.parse(serial, parts)
        except parent.Malformed as problem:
            self._refuse(problem.message, problem.error)
            return None
        self._serving = message
        parent.make_newest(message)
        name = message["msg_type"]
        handler = self.shell_handlers.get(name)
        if handler is None:
            if name.endswith("_request"):
                reply(message, error_content(ValueError(f"this kernel does not know the message type {name!r}")))
            else:
                done(serial)
            return None
        if handler is self._stock.get(name):
            return bool(self._serve[name](message))
        return self._custom(handler, message)

    def _custom(self, handler: Handler, message: Parent) -> bool:
        """A handler that a library put into shell_handlers; it may be a coroutine function, and need not answer."""
        outcome = self.call_user(message, handler, self.shell_stream, message.identity, message)
        if iscoroutine(outcome):
            context = self.executor.context.copy()
            context.run(door.parent.set, (message.serial, message))
            self.loop.start_cell(
                outcome,
                message.serial,
                0,
                context,
                lambda task: door.call_ours(message.serial, self._custom_ended, message, task),
            )
            return True
        self._custom_ended(message)
        return False

    def _custom_ended(self, message: Parent, task: Any = None) -> None:
        """Close the request. If the handler answered by itself this changes nothing."""
        try:
            if task is not None:
                task.result()
        except BaseException as error:
            refuse(message, error)
            self.rest_later()
            return
        if message["msg_type"].endswith("_request"):
            reply(message, error_content(RuntimeError("the handler of this request gave no answer")))
        else:
            done(message.serial)
        self.rest_later()

    def call_user(self, message: Parent, function: Callable[..., Any], *args: Any) -> Any:
        """function(*args) as user code on behalf of `message`, but not as a cell."""
        try:
            run = self.executor.context.run
            return self.loop.call_as_task(
                door.call_user, message.serial, 0, run, self._in_context, message, function, args
            )
        finally:
            if door.is_child():
                leave_child(sys.exc_info()[1])

    @staticmethod
    def _in_context(message: Parent, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        door.parent.set((message.serial, message))
        return function(*args)

    def _look(self, answer: Callable[[Parent], dict[str, Any] | bytes], message: Parent) -> None:
        """Answer with what `answer` says.

        Completers and reprs are user code, and so is what becomes JSON: they may raise, hang and be interrupted.
        """
        try:
            content: dict[str, Any] | bytes = self.call_user(message, lambda: encode(answer(message)))
        except BaseException as error:
            content = error_content(error)
        reply(message, content)
        self.rest_later()

    def _as_handler(self, name: str, serve: Callable[[Parent], Any]) -> Handler:
        """A handler in the shape libraries expect in shell_handlers.

        A library that has put its own in front of it awaits it from there.
        """

        async def handler(stream: Any, ident: Any, parent: Any) -> None:
            message = adopt(parent)[1]
            if name == _EXECUTE:
                await self.executor.execute_here(message)
            else:
                serve(message)

        return handler

    # What libraries read and call.

    @property
    def execution_count(self) -> int:
        return self.shell.execution_count

    @execution_count.setter
    def execution_count(self, value: int) -> None:
        self.shell.execution_count = value

    def get_parent(self, channel: str | None = None) -> dict[str, Any]:
        """The request being served, as a message.

        Requests on control are served by the front: on that channel there is none.
        """
        return parent.NOBODY if channel == "control" else parent.current()[1]

    @property
    def _parent_header(self) -> dict[str, Any]:
        return parent.current()[1]

    @property
    def _parent_ident(self) -> dict[str, list[bytes]]:
        return {"shell": parent.current()[1].identity, "control": []}

    def set_parent(self, ident: Any, parent: Any, channel: str = "shell") -> None:
        self.shell.set_parent(parent)

    def send_response(
        self,
        stream: Any,
        msg_or_type: Any,
        content: Any = None,
        ident: Any = None,
        buffers: Any = None,
        track: bool = False,
        header: Any = None,
        metadata: Any = None,
        channel: str | None = None,
    ) -> dict[str, Any]:
        """Publish a message for the cell that runs."""
        return self.session.send(
            stream, msg_or_type, content, self.get_parent(channel), ident, buffers, track, header, metadata
        )

    @property
    def io_loop(self) -> Any:
        return io_loop(self)

    def raw_input(self, prompt: str = "") -> str:
        return self.stdin.raw_input(prompt)

    def getpass(self, prompt: str = "", stream: Any = None) -> str:
        return self.stdin.getpass(prompt, stream)

    async def do_execute(
        self,
        code: str,
        silent: bool,
        store_history: bool = True,
        user_expressions: dict[str, str] | None = None,
        allow_stdin: bool = False,
        *,
        cell_meta: Any = None,
        cell_id: str | None = None,
    ) -> dict[str, Any]:
        """Run code as a cell would, without messages of its own; the content of an execute_reply."""
        result = self.shell.run_cell(code, store_history=store_history, silent=silent)
        count = self.shell.execution_count - 1
        outcome = Outcome(result)
        outcome.settle()
        if outcome.error is not None:
            return {**error_content(outcome.error), "execution_count": count, "user_expressions": {}, "payload": []}
        values = self.shell.user_expressions(user_expressions or {})
        return {"status": "ok", "execution_count": count, "user_expressions": values, "payload": []}

    # Around cells.

    def before_reply(self) -> None:
        """The cell has run. If it ended the kernel the front knows before it could pass on what comes next."""
        if self.shell.exit_asked:
            door.send(door.BYE, 0, self.status, [])

    def after_cell(self) -> None:
        """The reply is out."""
        shell = self.shell
        if shell.exit_asked:
            self.stay_until = self.loop.time() + LINGER
            self.loop.stop_serving()
            return
        if shell.history_manager is not None and shell.history_manager.has_unwritten:
            self.writing.put_off()
        self.rest_later()

    def leave(self) -> None:
        """The kernel was asked to end while no cell ran."""
        self.before_reply()
        self.after_cell()

    def _write_history(self) -> None:
        if self.shell.history_manager is not None:
            self.shell.history_manager.writeout_cache()
            self.shell.history_manager.give_back()

    def rest_with(self, act: Callable[[], None]) -> None:
        """Call `act` when the student pauses: it tidies up memory."""
        self.resting = Pause(self, REST_AFTER, act)

    def rest_later(self) -> None:
        """Something has used memory."""
        if self.resting is not None:
            self.resting.put_off()

    @property
    def is_busy(self) -> bool:
        """Whether a cell runs."""
        return self.shell.cell_running is not None

    # Comms.

    @property
    def comms(self) -> Any:
        if self._comms is None:
            from .comms import Comms

            self._comms = Comms(self)
        return self._comms

    def _handle_comm(self, message: Parent) -> None:
        try:
            self.comms.handle(message)
        except KeyboardInterrupt:
            raise
        except BaseException:
            self.shell.showtraceback(tb_offset=0)

    @property
    def comm_manager(self) -> Any:
        return self.comms.manager

    def _comm(self, message: Parent) -> None:
        try:
            self.call_user(message, self._handle_comm, message)
        except BaseException as error:
            LOG.debug("a comm message: %s", name_of(error))
        done(message.serial)
        self.rest_later()


class IPythonKernel(Kernel):
    """The kernel, by the name that configuration files and libraries have for it."""


Kernel.__module__, IPythonKernel.__module__ = "ipykernel.kernelbase", "ipykernel.ipkernel"
