# traceback, linecache and inspect are broken: answered
import inspect
import linecache
import traceback
for module in (inspect, linecache, traceback):
    for name in list(vars(module)):
        if not name.startswith("__"):
            setattr(module, name, None)
1 / 0
