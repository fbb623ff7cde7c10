# SPDX-License-Identifier: BSD-3-Clause
"""Runs in a kernel, as a cell: `portrait()` is what a process and its Python can see of themselves, by name.

Everything in it is JSON. Nothing but the standard library is used, and everything is looked at when it is called.
"""


def portrait():
    found = {}

    def look(name, function):
        try:
            found[name] = function()
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"

    _kernel_side(look)
    _numbers(look)
    _descriptors(look)
    _signals(look)
    _interpreter(look)
    _library(look)
    _ipython(look)
    _packages(look)
    _drawn(look)
    return found


def _read(path):
    with open(path, errors="surrogateescape") as file:
        return file.read()


def _kernel_side(look):
    import os

    for line in _read("/proc/self/status").splitlines():
        name, _, value = line.partition(":")
        if name in ("SigIgn", "SigCgt"):  # 32 and 33 are the C library's, and nobody else's business
            value = f"{int(value, 16) & ~(3 << 31):016x}"
        look(f"status {name}", lambda value=value: " ".join(value.split()))
    for line in _read("/proc/self/limits").splitlines()[1:]:
        look(f"limit {line[:26].strip()}", lambda line=line: line[26:].split())
    for name in ("cgroup", "mountinfo", "uid_map", "gid_map", "setgroups", "coredump_filter", "timerslack_ns", "comm"):
        look(name, lambda name=name: _read(f"/proc/self/{name}"))
    for name in ("oom_score_adj", "loginuid", "sessionid", "personality", "autogroup", "cpuset", "attr/current"):
        look(name, lambda name=name: _read(f"/proc/self/{name}"))
    look("cmdline", lambda: _read("/proc/self/cmdline").rstrip("\0"))
    look("environ", lambda: sorted(_read("/proc/self/environ").rstrip("\0").split("\0")))
    look("cwd", lambda: os.readlink("/proc/self/cwd"))
    look("root", lambda: os.readlink("/proc/self/root"))
    look("exe", lambda: os.path.basename(os.readlink("/proc/self/exe")))
    for name in sorted(os.listdir("/proc/self/ns")):
        look(f"ns {name}", lambda name=name: os.readlink(f"/proc/self/ns/{name}"))
    fields = _read("/proc/self/stat").rpartition(")")[2].split()
    names = {4: "tty", 5: "tpgid", 15: "priority", 16: "nice", 17: "threads", 35: "exit signal", 37: "rt priority"}
    names |= {38: "policy"}
    for at, name in names.items():
        look(f"stat {name}", lambda at=at: fields[at])
    look("leader of a group", lambda: os.getpgid(0) == os.getpid())
    look("leader of a session", lambda: os.getsid(0) == os.getpid())
    look("own /proc/self", lambda: [os.stat("/proc/self").st_uid, os.stat("/proc/self").st_gid])
    look("threads", lambda: len(os.listdir("/proc/self/task")))
    look("children", lambda: _read(f"/proc/self/task/{os.getpid()}/children"))


def _numbers(look):
    import ctypes
    import os
    import resource

    libc = ctypes.CDLL(None, use_errno=True)

    def prctl(option):
        out = ctypes.c_int(-1)
        plain = libc.prctl(option, 0, 0, 0, 0)
        return [plain, ctypes.get_errno() if plain < 0 else 0, out.value]

    def prctl_out(option):
        out = ctypes.c_int(-1)
        return [libc.prctl(option, ctypes.byref(out), 0, 0, 0), out.value]

    for option, name in {
        3: "dumpable", 7: "keep capabilities", 13: "timing", 21: "seccomp", 27: "securebits", 30: "timer slack",
        34: "machine checks", 39: "no new privileges", 42: "huge pages off", 58: "I/O flusher", 68: "merges memory",
    }.items():  # fmt: skip
        look(f"prctl {name}", lambda option=option: prctl(option))
    for option, name in {2: "parent's death", 37: "subreaper", 25: "time stamp counter", 5: "unaligned"}.items():
        look(f"prctl {name}", lambda option=option: prctl_out(option))
    number = {"x86_64": 252, "aarch64": 31}[os.uname().machine]
    look("ioprio", lambda: libc.syscall(number, 1, 0))
    for which, name in enumerate(("real", "virtual", "profiling")):
        import signal

        look(f"timer {name}", lambda which=which: signal.getitimer(which))
    look("nice", lambda: os.getpriority(os.PRIO_PROCESS, 0))
    look("affinity", lambda: sorted(os.sched_getaffinity(0)))
    look("scheduler", lambda: [os.sched_getscheduler(0), os.sched_getparam(0).sched_priority])
    look("uids", lambda: os.getresuid())
    look("gids", lambda: os.getresgid())
    look("groups", lambda: sorted(os.getgroups()))
    look("umask", lambda: [oct(os.umask(mask := os.umask(0))), oct(mask)][1])
    for name in sorted(name for name in dir(resource) if name.startswith("RLIMIT_")):
        look(name, lambda name=name: resource.getrlimit(getattr(resource, name)))

    def keyring():
        number = {"x86_64": 250, "aarch64": 219}[os.uname().machine]
        return libc.syscall(number, 0, -3, 0)

    look("session keyring", keyring)

    class Stack(ctypes.Structure):
        _fields_ = (("place", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))

    def alternate_stack():
        stack = Stack()
        libc.sigaltstack(None, ctypes.byref(stack))
        return [stack.flags, stack.size]

    look("alternate stack", alternate_stack)


def _descriptors(look):
    import fcntl
    import os
    import re
    import stat

    def kind(number):
        target = os.readlink(f"/proc/self/fd/{number}")
        mode = os.fstat(number).st_mode
        name = re.sub(r"[0-9]+", "N", target) if not target.startswith("/") or "memfd" in target else target
        info = _read(f"/proc/self/fdinfo/{number}")
        flags = re.search(r"flags:\s*(\d+)", info)
        return [name, stat.S_IFMT(mode), flags[1] if flags else "", fcntl.fcntl(number, fcntl.F_GETFD)]

    def kinds():
        numbers = [int(n) for n in sorted(os.listdir("/proc/self/fd"), key=int) if _is_open(n)]
        found = [
            [n if n < 100 else "high", *kind(n)] for n in numbers
        ]  # where the high ones begin is nobody's business
        return [entry for entry in found if "memfd:pupitre-heap" not in entry[1]]

    look("descriptors", kinds)
    look("descriptors of the nursery", lambda: len([n for n in os.listdir("/proc/self/fd") if _is_heap(n)]))
    for number in (0, 1, 2):
        look(f"owner of descriptor {number}", lambda number=number: [os.fstat(number).st_uid, os.fstat(number).st_gid])


def _is_open(number):
    import os

    try:
        os.fstat(int(number))
    except OSError:
        return False
    return "/proc/" not in os.readlink(f"/proc/self/fd/{number}")


def _is_heap(number):
    import os

    return _is_open(number) and "memfd:pupitre-heap" in os.readlink(f"/proc/self/fd/{number}")


def _signals(look):
    import faulthandler
    import signal

    for number in sorted(signal.valid_signals()):
        look(f"handler {number}", lambda number=number: _described(signal.getsignal(number)))
    look("blocked signals", lambda: sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))
    look("pending signals", lambda: sorted(signal.sigpending()))
    look("wakeup descriptor", lambda: _wakeup())
    look("faulthandler", faulthandler.is_enabled)


def _wakeup():
    import signal

    number = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(number)
    return number


def _described(value):
    import re

    return re.sub(r"0x[0-9a-f]+", "0x", repr(value))


def _interpreter(look):
    import builtins
    import gc
    import sys
    import sysconfig
    import warnings

    for name in (
        "path", "argv", "orig_argv", "executable", "_base_executable", "prefix", "base_prefix", "exec_prefix",
        "base_exec_prefix", "platlibdir", "warnoptions", "_xoptions", "dont_write_bytecode", "pycache_prefix",
        "version", "byteorder", "maxsize", "hexversion", "api_version", "platform", "abiflags",
        "float_repr_style", "ps1", "ps2", "tracebacklimit", "copyright", "builtin_module_names", "path_hooks",
        "meta_path", "excepthook", "unraisablehook", "breakpointhook", "displayhook", "__breakpointhook__",
        "__displayhook__", "__excepthook__", "stdlib_module_names", "last_type", "last_value", "last_traceback",
        "last_exc", "exitcode",
    ):  # fmt: skip
        look(f"sys.{name}", lambda name=name: _plain(getattr(sys, name)))
    for name in dir(sys.flags):
        if not name.startswith("_") and not callable(getattr(sys.flags, name)):
            look(f"sys.flags.{name}", lambda name=name: getattr(sys.flags, name))
    for name in (
        "getrecursionlimit", "getswitchinterval", "getdefaultencoding", "getfilesystemencoding",
        "getfilesystemencodeerrors", "getdlopenflags", "gettrace", "getprofile", "get_asyncgen_hooks",
        "get_coroutine_origin_tracking_depth", "is_finalizing", "get_int_max_str_digits",
    ):  # fmt: skip
        look(f"sys.{name}()", lambda name=name: _plain(getattr(sys, name)()))
    for name in ("implementation", "int_info", "float_info", "hash_info", "thread_info"):
        look(f"sys.{name}", lambda name=name: repr(getattr(sys, name)))
    for stream in ("stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__"):
        for name in ("__class__", "encoding", "errors", "line_buffering", "write_through", "mode", "name", "closed"):
            look(f"sys.{stream}.{name}", lambda s=stream, n=name: _plain(getattr(getattr(sys, s), n)))
        look(f"sys.{stream}.isatty()", lambda s=stream: getattr(sys, s).isatty())
        look(f"sys.{stream}.fileno()", lambda s=stream: getattr(sys, s).fileno())
    look("gc.isenabled", gc.isenabled)
    look("gc.get_threshold", gc.get_threshold)
    look("gc.get_debug", gc.get_debug)
    look("gc.callbacks", lambda: _plain(gc.callbacks))
    look("gc.get_freeze_count", lambda: gc.get_freeze_count() > 0)
    look("warnings.filters", lambda: [_plain(entry) for entry in warnings.filters])
    look("warnings.showwarning", lambda: _plain(warnings.showwarning))
    look("warnings._onceregistry", lambda: len(warnings.onceregistry))
    look("builtins", lambda: sorted(vars(builtins)))
    for name in ("input", "open", "print", "__import__", "__build_class__", "display", "get_ipython", "exit", "quit"):
        look(f"builtins.{name}", lambda name=name: _described(getattr(builtins, name)))
    look("sysconfig.get_paths", sysconfig.get_paths)
    look("sysconfig.get_platform", sysconfig.get_platform)
    for scheme in ("posix_prefix", "posix_user"):
        look(f"sysconfig {scheme}", lambda scheme=scheme: sysconfig.get_paths(scheme))
    for name in ("userbase", "prefix", "base", "LIBDIR", "projectbase", "installed_base"):
        look(f"sysconfig {name}", lambda name=name: sysconfig.get_config_var(name))
    look("modules of the library", lambda: len(sys.modules) > 100)
    look("sys.modules['__main__']", lambda: sorted(name for name in vars(sys.modules["__main__"]) if name[:2] == "__"))
    look("__main__.__spec__", lambda: _plain(getattr(sys.modules["__main__"], "__spec__", 0)))


def _plain(value):
    """What JSON can carry, without addresses."""
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(_described(item) for item in value)
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    return _described(value)


def _library(look):
    import asyncio
    import atexit
    import datetime
    import decimal
    import getpass
    import linecache
    import locale
    import logging
    import multiprocessing
    import os
    import pathlib
    import platform
    import pwd
    import random
    import site
    import socket
    import ssl
    import tempfile
    import threading
    import time
    import tracemalloc

    look("os.environ", lambda: dict(os.environ))
    look("os.environb", lambda: sorted(name.decode() for name in os.environb))
    look("posix.environ", lambda: sorted(name.decode() for name in __import__("posix").environ))
    look("getenv in C", lambda: _getenv("HOME", "TZ", "LANG", "PATH", "PUPITRE_PYTHON", "PUPITRE_NURSERY", "USER"))
    look("a subprocess's environment", lambda: sorted(__import__("subprocess").getoutput("env -0").split("\0")))
    look("os.getcwd", os.getcwd)
    look("os.getlogin", os.getlogin)
    look("os.ctermid", os.ctermid)
    look("os.getloadavg", lambda: len(os.getloadavg()))
    look("os.get_exec_path", os.get_exec_path)
    look("os.cpu_count", os.cpu_count)
    look("multiprocessing.cpu_count", multiprocessing.cpu_count)
    look("multiprocessing.get_start_method", lambda: multiprocessing.get_start_method(allow_none=True))
    process = multiprocessing.current_process()
    look("multiprocessing name", lambda: [process.name, process.daemon, process.pid == os.getpid()])
    look("multiprocessing children", lambda: _plain(multiprocessing.active_children()))
    look("multiprocessing _identity", lambda: [process._identity, process._parent_pid])
    look("getpass.getuser", getpass.getuser)
    look("pwd", lambda: list(pwd.getpwuid(os.getuid())))
    look("Path.home", lambda: str(pathlib.Path.home()))
    look("expanduser", lambda: os.path.expanduser("~"))
    for name in ("LC_CTYPE", "LC_NUMERIC", "LC_TIME", "LC_COLLATE", "LC_MONETARY", "LC_MESSAGES"):
        look(f"locale {name}", lambda name=name: locale.setlocale(getattr(locale, name)))
    look("locale.getlocale", locale.getlocale)
    look("locale.getpreferredencoding", lambda: locale.getpreferredencoding().upper())
    look("locale.getencoding", lambda: locale.getencoding().upper())
    look("locale.localeconv", locale.localeconv)
    look("time.tzname", lambda: [time.tzname, time.timezone, time.altzone, time.daylight])
    look("time.localtime", lambda: [list(time.localtime(0)), time.localtime(0).tm_zone])
    look("datetime.astimezone", lambda: datetime.datetime.fromtimestamp(0).astimezone().isoformat())
    look("strftime", lambda: time.strftime("%c %x %X %p %A", time.gmtime(0)))
    look("site.ENABLE_USER_SITE", lambda: site.ENABLE_USER_SITE)
    look("site.USER_SITE", lambda: site.USER_SITE)
    look("site.USER_BASE", lambda: site.USER_BASE)
    look("site.getusersitepackages", site.getusersitepackages)
    look("site.getuserbase", site.getuserbase)
    look("site.getsitepackages", site.getsitepackages)
    look("site.PREFIXES", lambda: site.PREFIXES)
    look("tempfile", lambda: [tempfile.gettempdir(), tempfile.gettempprefix(), tempfile.tempdir])
    look("threading.enumerate", lambda: [thread.name for thread in threading.enumerate()])
    look("threading.main_thread", lambda: threading.main_thread() is threading.current_thread())
    look("threading ident", lambda: threading.main_thread().native_id == os.getpid())
    look("threading.stack_size", threading.stack_size)
    look("threading.excepthook", lambda: _described(threading.excepthook))
    look("asyncio loop", lambda: _described(type(asyncio.get_event_loop())))
    look("asyncio running", lambda: asyncio.get_running_loop() is asyncio.get_event_loop())
    look("asyncio policy", lambda: _described(type(asyncio.get_event_loop_policy())))
    look("asyncio tasks", lambda: len(asyncio.all_tasks(asyncio.get_event_loop())))
    look("atexit", lambda: atexit._ncallbacks())
    look("logging", lambda: [logging.root.level, _plain(logging.root.handlers), logging.raiseExceptions])
    look("logging.lastResort", lambda: _plain(logging.lastResort))
    look("decimal", lambda: repr(decimal.getcontext()))
    look("random", lambda: random.getstate()[0])
    look(
        "linecache",
        lambda: sorted(name.rpartition("/")[2] for name in linecache.cache if name.startswith(("<", "/tmp/"))),
    )
    look("socket.getdefaulttimeout", socket.getdefaulttimeout)
    look("socket.gethostname", socket.gethostname)
    look("ssl paths", lambda: list(ssl.get_default_verify_paths()))
    look("platform", lambda: [platform.node(), platform.python_version(), platform.platform()])
    look("tracemalloc", tracemalloc.is_tracing)
    look("os.path.abspath", lambda: os.path.abspath("."))
    look("writes", lambda: _writes())


def _getenv(*names):
    import ctypes

    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    return {name: (getenv(name.encode()) or b"").decode() for name in names}


def _writes():
    """Who owns a file that is made here, and with which mode."""
    import os
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, "file")
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o666))
        made = os.stat(path)
    return [made.st_uid, made.st_gid, oct(made.st_mode)]


def _ipython(look):
    import IPython
    import IPython.paths

    shell = IPython.get_ipython()
    for name in (
        "starting_dir", "home_dir", "ipython_dir", "execution_count", "autocall", "autoindent", "automagic",
        "colors", "ast_node_interactivity", "autoawait", "cache_size", "color_info", "debug", "history_length",
        "pdb", "logfile", "loop_runner", "quiet", "separate_in", "show_rewritten_input", "sphinxify_docstring",
        "wildcards_case_sensitive", "xmode", "exit_now", "active_eventloop", "code_to_run",
        "last_execution_succeeded", "dir_stack", "tempfiles", "tempdirs", "CustomTB", "call_pdb", "warn_venv",
        "input_transformers_post", "ast_transformers", "keepkernel_on_exit", "mime_renderers",
    ):  # fmt: skip
        look(f"shell.{name}", lambda name=name: _plain(getattr(shell, name)))
    look("shell.banner", lambda: shell.banner.partition("Tip: ")[0])
    look("shell class", lambda: _described(type(shell)))
    look("shell.config", lambda: _described(shell.config))
    look("profile", lambda: [shell.profile, shell.profile_dir.location])
    look("profile dirs", lambda: [shell.profile_dir.startup_dir, shell.profile_dir.pid_dir, shell.profile_dir.log_dir])
    history = shell.history_manager
    look("history file", lambda: [str(history.hist_file), history.enabled, history.session_number])
    look("history length", lambda: [len(history.input_hist_raw), len(history.output_hist), list(history.dir_hist)])
    look("user names", lambda: sorted(name for name in shell.user_ns if not name.startswith("_")))
    look("hidden names", lambda: sorted(shell.user_ns_hidden))
    look("In and Out", lambda: [len(shell.user_ns["In"]), dict(shell.user_ns["Out"]), shell.user_ns["_ih"][0]])
    look("magics", lambda: {kind: sorted(found) for kind, found in shell.magics_manager.lsmagic().items()})
    look("width of magics' help", lambda: shell.find_line_magic("capture").__doc__)
    look("aliases", lambda: _plain(shell.alias_manager.aliases))
    look("extensions", lambda: sorted(shell.extension_manager.loaded))
    look("formatters on", lambda: {str(mime): f.enabled for mime, f in _formatters(shell)})
    look("hooks", lambda: sorted(shell.hooks))
    look("get_ipython_dir", IPython.paths.get_ipython_dir)
    look("IPython cache", IPython.paths.get_ipython_cache_dir)
    look(
        "completer",
        lambda: [shell.Completer.use_jedi, shell.Completer.greedy, len(shell.Completer.custom_completers.__dict__)],
    )
    look("compile flags", lambda: shell.compile.flags)
    look("display classes", lambda: [_described(type(shell.display_pub)), _described(type(shell.displayhook))])
    look("payload", lambda: shell.payload_manager.read_payload())
    app = __import__("traitlets.config", fromlist=["Application"]).Application.instance()
    look("app", lambda: [_described(type(app)), app.name, app.profile, app.config_file_name, app.extra_args])
    look("app.config_files", lambda: sorted(app.loaded_config_files))
    look("app.config_file_paths", lambda: app.config_file_paths)
    look("app.connection_file", lambda: app.connection_file)
    look(
        "kernel",
        lambda: [_described(type(app.kernel)), app.kernel.implementation, app.kernel.banner.partition("Tip: ")[0]],
    )
    kernel = app.kernel
    look("kernel.session", lambda: [_described(type(kernel.session)), len(kernel.session.session)])
    look("env of IPython's %env", lambda: sorted(shell.run_line_magic("env", "")))


def _formatters(shell):
    return shell.display_formatter.formatters.items()


def _packages(look):
    import sys

    def of(name, function):
        look(name, lambda: function(__import__(name.partition(" ")[0], fromlist=["x"])))

    of("matplotlib directories", lambda m: _steady([m.get_configdir(), m.get_cachedir(), m.matplotlib_fname()]))
    of("matplotlib backend", lambda m: m.get_backend())
    of("matplotlib.pyplot figures", lambda m: m.get_fignums())
    of("matplotlib.pyplot interactive", lambda m: m.isinteractive())
    of("matplotlib_inline.config", lambda m: _plain(m.InlineBackend.instance()._trait_values.get("figure_formats")))
    of("jedi.settings", lambda m: m.cache_directory)
    of("parso.cache", lambda m: str(m._default_cache_path))
    of("numpy", lambda m: [m.__version__, m.__file__, m.geterr(), m.get_printoptions()])
    of("numpy.random", lambda m: m.get_state()[0])
    of("pandas", lambda m: [m.__version__, m.__file__, m.get_option("display.max_rows"), m.get_option("display.width")])
    of("pandas mode", lambda m: _plain(m.get_option("mode.copy_on_write")))
    of("traitlets", lambda m: m.__file__)
    of("IPython", lambda m: m.__file__)
    of("comm", lambda m: [_described(m.create_comm), len(m.get_comm_manager().comms)])
    of("pupitre", lambda m: m.__file__)
    look(
        "shadowing", lambda: [name for name in ("numpy", "json", "random") if "work" in str(sys.modules[name].__file__)]
    )


def _steady(paths):
    import re

    return [re.sub(r"/tmp/matplotlib-\w+", "a temporary folder", path) for path in paths]


def _drawn(look):
    """What the first figure changes, looked at when there was one in any case."""
    import IPython
    import matplotlib
    import matplotlib.pyplot

    matplotlib.pyplot.figure()
    matplotlib.pyplot.close("all")
    shell = IPython.get_ipython()
    look("rcParams", lambda: {name: _plain(value) for name, value in matplotlib.rcParams.items()})
    look("drawn interactive", matplotlib.pyplot.isinteractive)
    look("formatters", lambda: {str(mime): sorted(map(str, f.type_printers)) for mime, f in _formatters(shell)})
    look("deferred", lambda: {str(mime): sorted(map(str, f.deferred_printers)) for mime, f in _formatters(shell)})
    look("events", lambda: {name: _plain(found) for name, found in shell.events.callbacks.items()})
