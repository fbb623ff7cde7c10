# SPDX-License-Identifier: BSD-3-Clause
"""What the attributes give: the same cell in ipykernel and in Pupitre shows the same."""

from textwrap import dedent

import pytest
from kernels import Pair

# Cells whose output, line for line, is ipykernel's.
SAME = {
    "complete": "k.do_complete('impo', 4)['matches'], k.do_complete('x = rang', 8)['cursor_start']",
    "complete at the end": "k.do_complete('impo', None)['cursor_end']",
    "inspect": ("sorted(k.do_inspect('print', 5)), k.do_inspect('print', 5)['found'], k.do_inspect('n_', 2)['found']"),
    "inspect more": "k.do_inspect('print', 5, detail_level=1, omit_sections=['docstring'])['status']",
    "is_complete": "[k.do_is_complete(code) for code in ('1', 'if 1:', '1)')]",
    "history": (
        "k.do_history('tail', False, True, n=1)['history'][0][1:], k.do_history('range', False, True, 0, 1)['status']"
    ),
    "history of nothing": "k.do_history('search', False, True, pattern='nothing like this*', n=3)",
    "implementation": "k.implementation, k.implementation_version, k.language_info, k.banner.split('Tip')[0]",
    "kernel_info": "sorted(k.kernel_info), k.kernel_info['language_info']",
    "identity": "k.int_id, k.processes, k.session.username, k._topic('x') == f'kernel.{k.ident}.x'.encode()",
    "streams": "k.shell_streams == [k.shell_stream], sys.stdout.topic, sys.stderr.topic, sys.stdout.echo",
    "topics": "ip.display_pub.topic, ip.displayhook.topic == f'kernel.{k.ident}.execute_result'.encode()",
    "same session": (
        "{id(one.session) for one in (k, ip.display_pub, ip.displayhook, sys.stdout, app)} == {id(k.session)}"
    ),
    "one iteration": "hasattr(k, 'do_one_iteration')",
    "handlers": "[inspect.iscoroutinefunction(k.shell_handlers[n]) for n in ('execute_request', 'complete_request')]",
    "metadata": "sorted(k.finish_metadata({}, k.init_metadata({}), {'status': 'ok'}))",
    "message": "m = k.session.msg('t', {'a': 1}); sorted(m), sorted(m['header']), m['content'], m['parent_header']",
    "message id": "k.session.msg_id != k.session.msg_id, k.session.msg_id.startswith(k.session.session)",
    "sent": "m = k.session.send(k.iopub_socket, 'mine', {'a': 1}, parent=k.get_parent()); sorted(m['header'])",
    "sent parent": "k.session.send(k.iopub_socket, 'mine', {}, parent=k.get_parent())['parent_header']['msg_type']",
    "signature": "m = k.session.msg('t'); [type(part) for part in k.session.serialize(m)]",
    "sign": "k.session.sign([b'a', b'b']) == hmac.new(k.session.key, b'ab', 'sha256').hexdigest().encode()",
    "key": "k.session.key == ipykernel.get_connection_info(unpack=True)['key'] != b''",
    "receive": "k.session.recv(k.stdin_socket)",
    "pack": "k.session.unpack(k.session.pack({'a': [1]})), k.session.signature_scheme, k.session.bsession[:0]",
    "ports": (
        "c = ipykernel.get_connection_info(unpack=True); [getattr(app, f'{n}_port') == c[f'{n}_port'] for n in N]"
    ),
    "address": "app.ip, app.transport, app.connection_file == ipykernel.get_connection_file(), len(app.ports)",
    "connection file": (
        "ip.config['IPKernelApp']['connection_file'] == app.connection_file == app.abs_connection_file"
    ),
    "comm's kernel": "c = comm.create_comm(target_name='t'); c.kernel is k, type(c).__name__, type(c).__module__",
    "old comm's kernel": (
        "c = ipykernel.comm.Comm(target_name='t'); c.kernel is k, isinstance(c, comm.base_comm.BaseComm)"
    ),
    "comm manager": "k.comm_manager is comm.get_comm_manager(), type(k.comm_manager)",
    "modules": (
        "[getattr(ipykernel, n).__name__ for n in ('iostream', 'connect', 'kernelbase', 'compiler', 'zmqshell')]"
    ),
    "classes": (
        "[(type(o).__module__, type(o).__name__) for o in (k, ip, app, sys.stdout, ip.display_pub, ip.displayhook)]"
    ),
    "kernel's class": "isinstance(k, ipykernel.kernelbase.Kernel), ipykernel.kernelbase.Kernel.instance() is k",
    "cells' folder": "get_ipython().compile.cache('x') .startswith(ipykernel.compiler.get_tmp_directory())",
    "parents": "ip.parent is k, k.parent is app, ip.display_pub.parent is ip",
    "stdout's parent": "sys.stdout.parent_header = k.get_parent()['header']; print('here')",
    "display's parent": "ip.display_pub.parent_header = k.get_parent()['header']; display('here')",
    "control thread": "k.control_thread.name, k.control_thread.is_alive(), k.control_thread.daemon",
    "the loop, from a thread": (
        "done = asyncio.Event()\n"
        "threading.Thread(target=lambda: k.io_loop.add_callback(done.set)).start()\n"
        "await asyncio.wait_for(done.wait(), 20)"
    ),
    "handler of a library": (
        "old = k.shell_handlers['execute_request']\n"
        "async def mine(stream, ident, parent):\n"
        "    print('before'); await old(stream, ident, parent); k.shell_handlers['execute_request'] = old\n"
        "k.shell_handlers['execute_request'] = mine"
    ),
    "a cell through it": "print('inside'); 5",
    "handler of a library again": "k.shell_handlers['execute_request'] = mine",
    "an await cell through it": "await asyncio.sleep(0, 6)",
    "after it": "7",
    "app": "import IPython; IPython.Application.instance() is app, app.kernel is k, app.shell is ip",
}

FIRST = """
import asyncio, comm, hmac, inspect, sys, threading, warnings
import ipykernel, ipykernel.comm
from ipykernel.kernelapp import IPKernelApp
warnings.simplefilter("ignore")
N = ("shell", "iopub", "stdin", "control", "hb")
ip = get_ipython(); k = ip.kernel; app = IPKernelApp.instance()
"""


@pytest.fixture(scope="module")
def ready(shared: Pair) -> Pair:
    shared.same(FIRST)
    return shared


@pytest.mark.parametrize("name", SAME)
def test_the_same_value(ready: Pair, name: str) -> None:
    theirs, ours = ready.run(SAME[name])
    assert ours.reply["status"] == "ok", ours.result
    assert ours.shown() == theirs.shown()


def test_clear(pair: Pair) -> None:
    pair.same("x = 1")
    pair.same("get_ipython().kernel.do_clear()")
    pair.same("'x' in globals()")


HOOK = """
seen = []
def hook(message):
    seen.append((sorted(message), sorted(message["header"]), message["msg_type"], bool(message["parent_header"])))
    return message
for one in (ip.display_pub, ip.displayhook, sys.stdout):
    one.register_hook(hook)
"""


def test_a_hook_sees_whole_messages(ready: Pair) -> None:
    """Hooks belong to a thread; ipykernel sends text from another, so those of a stream see nothing there."""
    ready.run(HOOK)
    ready.run("display(1)\n2")
    ready.run("for one in (ip.display_pub, ip.displayhook, sys.stdout): one.unregister_hook(hook)")
    ready.same("[one for one in seen if one[2] != 'stream']")


def test_a_hook_may_change_everything(ready: Pair) -> None:
    """Type, metadata and parent of a message as well as its content."""
    change = """
    def hook(message):
        message["metadata"]["changed"] = True
        message["content"]["data"]["text/plain"] += " and more"
        header = {**message["header"], "msg_type": "update_display_data"}
        return {**message, "msg_type": "update_display_data", "header": header}
    ip.display_pub.register_hook(hook)
    display("this")
    ip.display_pub.unregister_hook(hook)
    """
    theirs, ours = ready.run(dedent(change))
    assert ours.shown() == theirs.shown() != []
    assert [one["metadata"] for one in ours.messages if one["msg_type"] == "update_display_data"] == [{"changed": True}]


def test_a_serialized_message_is_published(ready: Pair) -> None:
    ready.same(
        "m = k.session.msg('stream', {'name': 'stdout', 'text': 'by hand'}, parent=k.get_parent())\n"
        "k.iopub_socket.send_multipart(k.session.serialize(m, b'topic'))"
    )
