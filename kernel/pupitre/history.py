# SPDX-License-Identifier: BSD-3-Clause
"""IPython's history in the user's database, without a thread and without waiting.

IPython writes each cell from a thread of its own. A kernel that forks must have no threads, and on a home directory
over NFS opening the database may take seconds: so it is opened when history is first written or asked for, and written
by the main loop when the user has not run anything for a moment (WRITE_AFTER). A database that is locked, read-only,
full or broken costs one message; the kernel then remembers its cells in memory.
"""

import atexit
import logging
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core import history as ipython_history
from traitlets import Bool, default

from .unseen import unseen_methods
from .wire import publish

LOG = logging.getLogger("pupitre")

WRITE_AFTER = 1.0  # seconds of quiet after a cell
BUSY_TIMEOUT = 0.25  # seconds that sqlite waits for another process's lock
OUTPUTS_MAX = 256 * 1024  # characters of outputs that are kept for %notebook
OUTPUT_MAX = 32 * 1024  # characters of one of them
LOCKED_MAX = 5  # write-outs in a row that may find the database locked


def _storable(text: str) -> str:
    """`text` as sqlite takes it: half an emoji that somebody typed becomes a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


class HistoryUnavailable(Exception):
    """The database cannot be read now (locked), or not with these arguments."""


@unseen_methods
class HistoryManager(ipython_history.HistoryManager):
    """`get_ipython().history_manager`."""

    opened = Bool(False)
    _i00 = _i = _ii = _iii = ""  # traits in IPython, written by every cell; nobody observes them

    if TYPE_CHECKING:  # IPython's traits
        connection_options: Any
        db_input_cache: Any
        db_output_cache: Any
        enabled: Any
        hist_file: Any
        save_thread: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._locked = 0
        self._told = False
        self._untold = ""
        self._sizes: dict[int, int] = {}  # of the outputs that are kept, by cell, oldest first
        self._kept = 0  # their sum
        self.outputs: defaultdict[int, list[Any]] = defaultdict(list)
        thread = ipython_history.HistorySavingThread
        thread.start = lambda self: None  # IPython's constructor makes one and starts it
        try:
            super().__init__(*args, **kwargs)
        finally:
            del thread.start
        if self.save_thread is not None:
            atexit.unregister(self.save_thread.stop)  # IPython 8 joins it there
        self.save_thread = None
        self.using_thread = False

    @default("log")
    def _log_for_the_user(self) -> logging.Logger:
        """What became of their history is for the user to know, not for the log of the server."""
        return LOG

    def move_in(self) -> None:
        """The database and the working directory are another user's than those of the template that made this."""
        self.hist_file = self._get_hist_file_name()
        self.dir_hist[:] = [Path.cwd()]

    # Outputs, which %notebook writes.

    def keep_printed(self, cell: int, printed: list[tuple[int, str]]) -> None:
        """What the cell has printed so far, as far as it is known: (descriptor, text)."""
        for number, text in printed:
            self.keep_output(cell, "out_stream" if number == 1 else "err_stream", {"stream": [text]}, len(text))

    def keep_result(self, cell: int, kind: str, bundle: dict[str, Any]) -> None:
        """A bundle that is shown: its texts, or but the plain one if they are long."""
        texts = {mime: text for mime, text in bundle.items() if isinstance(text, str)}
        size = sum(map(len, texts.values()))
        if size > OUTPUT_MAX:
            texts = {"text/plain": texts.get("text/plain", "")[:OUTPUT_MAX]}
            size = len(texts["text/plain"])
        self.keep_output(cell, kind, texts, size)

    def keep_output(self, cell: int, kind: str, bundle: dict[str, Any], size: int) -> None:
        """Keep it, and forget the oldest cells' for it. IPython would keep all, for ever."""
        make = getattr(ipython_history, "HistoryOutput", None)
        if make is None:
            return
        if not self.outputs:  # %reset
            self._sizes.clear()
            self._kept = 0
        last = self.outputs[cell][-1:]
        if "stream" in bundle and last and last[0].output_type == kind:
            last[0].bundle["stream"] += bundle["stream"]
        else:
            self.outputs[cell].append(make(output_type=kind, bundle=bundle))
        self._sizes[cell] = self._sizes.get(cell, 0) + size
        self._kept += size
        while self._kept > OUTPUTS_MAX and len(self._sizes) > 1:
            oldest = next(iter(self._sizes))
            self._kept -= self._sizes.pop(oldest)
            self.outputs.pop(oldest, None)

    # Opening: `db` and `session_number` come into being when somebody reads them.

    def init_db(self) -> None:
        """Nothing when IPython's constructor calls it; IPython calls it again after moving a damaged file aside."""
        if self.opened:
            super().init_db()
            if hasattr(self, "_finalizer"):  # by which atexit would close it, before the last cells are written
                self._finalizer.atexit = False

    def new_session(self, conn: Any = None) -> None:
        if self.opened:
            super().new_session(conn)

    @default("enabled")
    def _enabled_by_default(self) -> bool:
        """IPython imports sqlite3 to find out (1 MB); open() will."""
        return True

    @default("db")
    def _open_db(self) -> Any:
        self.open()
        return self.db

    @default("session_number")
    def _open_session(self) -> int:
        self.open()
        return int(self.session_number)

    def open(self) -> None:
        """Open the database and begin a session in it; in memory if that fails. Once."""
        if self.opened:
            return
        self.opened = True
        self.session_number = 0
        self.connection_options = {"timeout": BUSY_TIMEOUT, **self.connection_options}
        try:
            if self.enabled and self.hist_file != ":memory:":
                self._probe()
            self.init_db()
            super().new_session()
        except Exception as error:
            self._keep_in_memory(error)

    def _probe(self) -> None:
        """Raise what keeps the database from being used.

        IPython would move a locked one aside as corrupt; only a corrupt one may be. What is in a temporary directory is
        not the user's.
        """
        if self.shell.no_directory and Path(self.hist_file).is_relative_to(self.shell.profile_dir.location):
            raise OSError(self.shell.no_directory)
        import sqlite3

        connection = sqlite3.connect(str(self.hist_file), timeout=BUSY_TIMEOUT)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            self.log.info("the history database is damaged, IPython moves it aside")
        finally:
            connection.close()

    def _keep_in_memory(self, error: BaseException) -> None:
        where = "" if self.shell.no_directory else f"{self.hist_file}: "
        if not self._told:
            self._untold = f"Pupitre keeps this session's history in memory only: {where}{error}\n"
            self._tell()
        kept = self.db_input_cache
        self.hist_file = ":memory:"
        try:
            self.init_db()
            super().new_session()
        except Exception:
            self.enabled = False
            self.init_db()
        self.db_input_cache = kept

    def _tell(self) -> None:
        """One line, once, below the cell that ran last. Nobody sees what belongs to a history_request, as JupyterLab
        sends it before the first cell: so it waits for one.
        """
        cell = self.shell.kernel.newest_cell
        if self._untold and cell is not None:
            text, self._untold, self._told = self._untold, "", True
            publish("stream", {"name": "stderr", "text": text}, topic=b"stream.stderr", to=(cell.serial, cell))

    # Reading.

    def _run_sql(self, *args: Any, **kwargs: Any) -> Any:
        """Every query of IPython's.

        Errors that do not say the file is damaged must not reach it: it would move the file aside.
        """
        self.open()
        try:
            return list(super()._run_sql(*args, **kwargs))
        except Exception as error:
            if type(error).__name__ == "DatabaseError":
                raise
            raise HistoryUnavailable(f"{type(error).__name__}: {error}") from None

    # Writing.

    @property
    def has_unwritten(self) -> bool:
        return bool(self.db_input_cache or self.db_output_cache)

    def writeout_cache(self, conn: Any = None) -> None:
        """Write what waits. Never raises: cells that cannot be written now are tried again, then kept in memory."""
        self._tell()
        if not self.has_unwritten:
            return
        self.db_input_cache = [(line, _storable(source), _storable(raw)) for line, source, raw in self.db_input_cache]
        inputs, outputs = list(self.db_input_cache), list(self.db_output_cache)
        self.open()
        try:
            super().writeout_cache(conn)
            self._locked = 0
        except Exception as error:
            self.db_input_cache = inputs + [entry for entry in self.db_input_cache if entry not in inputs]
            self.db_output_cache = outputs
            self._locked += 1
            if "locked" not in str(error) or self._locked >= LOCKED_MAX:
                self._keep_in_memory(error)

    def give_back(self) -> None:
        """What SQLite keeps of the file in memory, 90 KB, until it is next used."""
        if self.opened:
            with suppress(Exception):
                self.db.execute("PRAGMA shrink_memory")

    def end_session(self) -> None:
        """The end of the kernel, or %reset. A session nobody wrote into is not worth a database."""
        if not self.opened and not self.has_unwritten:
            return
        try:
            super().end_session()
        except Exception as error:
            self.log.info("history: %s", error)

    def close(self) -> None:
        if self.opened and hasattr(self.db, "close"):  # IPython 8's stand-in for a database has no close
            self.db.close()
