# SPDX-License-Identifier: BSD-3-Clause
"""Comms: two-way channels between a library in the kernel and its half in the client (ipywidgets).

The `comm` package does the bookkeeping; here are the messages. It is imported when the first library asks for it
(imports.py makes it create ours), because most sessions never do.
"""

from typing import TYPE_CHECKING, Any

import comm
from comm import base_comm
from traitlets import Any as AnyTrait
from traitlets import Bool, Unicode
from traitlets import Dict as DictTrait
from traitlets.config import LoggingConfigurable

from .compat import SHELL
from .unseen import unseen_methods
from .wire import publish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .kernel import IPythonKernel
    from .parent import Parent


def _contiguous(buffers: "Sequence[Any] | None") -> list[memoryview]:
    views = [memoryview(one) for one in buffers or ()]
    if not all(view.contiguous for view in views):
        raise ValueError("the buffers of a message must be contiguous")
    return views


@unseen_methods
class BaseComm(base_comm.BaseComm):
    """A comm whose messages go out on iopub."""

    kernel: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.kernel = kernel()
        super().__init__(*args, **kwargs)

    def publish_msg(
        self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **keys: Any
    ) -> None:
        content = {"data": data if data is not None else {}, "comm_id": self.comm_id, **keys}
        publish(msg_type, content, metadata=metadata, buffers=_contiguous(buffers), topic=self.topic)


@unseen_methods
class Comm(BaseComm, LoggingConfigurable):
    """ipykernel.comm.Comm of old: the same, as a configurable with traits, for libraries that subclass it."""

    kernel = AnyTrait()
    comm_id = Unicode()
    primary = Bool(True)

    def __init__(
        self,
        target_name: str = "",
        data: Any = None,
        metadata: Any = None,
        buffers: Any = None,
        show_warning: bool = True,
        **kwargs: Any,
    ) -> None:
        LoggingConfigurable.__init__(
            self, **{name: kwargs.pop(name) for name in ("parent", "config", "log") if name in kwargs}
        )
        given = kwargs.pop("kernel", None)
        BaseComm.__init__(self, target_name, data, metadata, buffers, **kwargs)
        if given is not None:
            self.kernel = given


@unseen_methods
class CommManager(base_comm.CommManager, LoggingConfigurable):
    """The manager of the comm package, with traits."""

    kernel = AnyTrait()
    comms = DictTrait()
    targets = DictTrait()

    def __init__(self, **kwargs: Any) -> None:
        LoggingConfigurable.__init__(self, **kwargs)
        base_comm.CommManager.__init__(self)
        self.kernel = kernel()


def kernel() -> "IPythonKernel":
    from .kernel import IPythonKernel

    return IPythonKernel.instance()


_manager: CommManager | None = None


def manager() -> CommManager:
    """The one manager of this process, for comm.get_comm_manager()."""
    global _manager
    if _manager is None:
        _manager = CommManager()
    return _manager


@unseen_methods
class Comms:
    """Serves the comm messages and comm_info_request."""

    def __init__(self, kernel: "IPythonKernel") -> None:
        self.kernel = kernel

    @property
    def manager(self) -> base_comm.CommManager:
        return comm.get_comm_manager()

    def info(self, message: "Parent") -> dict[str, Any]:
        """Content of comm_info_reply: the open comms, of one target if the request names it."""
        target = message["content"].get("target_name")
        comms = {
            name: {"target_name": one.target_name}
            for name, one in list(self.manager.comms.items())
            if target is None or one.target_name == target
        }
        return {"status": "ok", "comms": comms}

    def handle(self, message: "Parent") -> None:
        """comm_open, comm_msg or comm_close. Handlers are user code; their errors are logged by the comm package."""
        serve = getattr(self.manager, message["msg_type"])
        serve(SHELL, message.identity, message)


BaseComm.__module__ = Comm.__module__ = "ipykernel.comm.comm"
CommManager.__module__ = "ipykernel.comm.manager"
