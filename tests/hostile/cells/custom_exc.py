# a custom exception handler that raises: usable
def handler(self, etype, value, tb, tb_offset=None):
    raise RuntimeError("while handling")
get_ipython().set_custom_exc((Exception,), handler)
1 / 0
