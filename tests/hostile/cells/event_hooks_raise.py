# every event hook raises: usable
events = get_ipython().events
def no(*args):
    raise RuntimeError("hooked")
for event in ("pre_execute", "pre_run_cell", "post_execute", "post_run_cell"):
    events.register(event, no)
