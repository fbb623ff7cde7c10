# os.abort(): reported
# names: SIGABRT|[Aa]bort
import os
os.abort()
