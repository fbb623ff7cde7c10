# vars(builtins).clear(): answered
import builtins
vars(builtins).clear()
