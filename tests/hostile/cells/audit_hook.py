# an audit hook that forbids everything: answered
import sys
def hook(event, arguments):
    if event in ("compile", "exec", "import", "open", "socket.__new__"):
        raise RuntimeError(event)
sys.addaudithook(hook)
