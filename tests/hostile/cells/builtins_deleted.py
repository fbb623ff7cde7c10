# del __builtins__: usable
del __builtins__
