# every event hook raises SystemExit: answered
events = get_ipython().events
def leave(*args):
    raise SystemExit(3)
for event in ("pre_execute", "pre_run_cell", "post_execute", "post_run_cell"):
    events.register(event, leave)
