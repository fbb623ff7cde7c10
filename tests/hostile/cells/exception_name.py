# an exception class with a lone surrogate for a name: usable
raise type("E\ud800\x00", (Exception,), {})("\udc80\x00")
