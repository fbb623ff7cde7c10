# os.closerange over everything: either
import os
os.closerange(3, 4000)
