# vars(builtins).clear(): either
import builtins
vars(builtins).clear()
