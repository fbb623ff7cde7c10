# seccomp's strict mode: reported
# names: SIGKILL|[Kk]illed
import ctypes
ctypes.CDLL(None).prctl(22, 1)
