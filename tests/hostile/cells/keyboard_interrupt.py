# KeyboardInterrupt raised by hand: usable
raise KeyboardInterrupt("by hand")
